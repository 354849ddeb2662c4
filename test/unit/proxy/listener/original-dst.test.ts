import t from 'tap';
import type { Address } from '../../../../proxy/config/model/address.ts';
import { createOriginalDst, originalDestinationKey, originalSourceKey } from '../../../../proxy/listener/original-dst.ts';
import { ConnectionRecord } from '../../../../proxy/network/connection-record.ts';
import type { PassthroughState, SharedObject } from '../../../../proxy/network/passthrough-state.ts';

const inside: Address = { kind: 'internal', listener: 'l', endpointId: '' };
const socketOf = (address: string, port: number): Address => ({ kind: 'socket', address, port });

/** The record of an internal connection after the filter. */
function restore(state: { [key: string]: string } | null, metadata: PassthroughState['metadata'] = {}): ConnectionRecord {
  const info = new ConnectionRecord(inside, inside);
  const objects = Object.entries(state ?? {}).map(([key, value]): [string, SharedObject] => [
    key,
    { value, isTransitive: false },
  ]);
  info.passthrough = { metadata, filterState: state === null ? null : new Map(objects) };
  createOriginalDst().onAccept({ info, fd: -1, transparent: false, consume() {} });
  return info;
}

t.test('filter state says where an internal connection goes to and comes from', async t => {
  const info = restore({ [originalDestinationKey]: '10.1.2.3:80', [originalSourceKey]: '[fd00::1]:1234' });
  t.strictSame(info.localAddress, socketOf('10.1.2.3', 80));
  t.ok(info.localAddressRestored);
  t.strictSame(info.remoteAddress, socketOf('fd00::1', 1234));
  t.strictSame(info.directLocalAddress, inside);
});

t.test('else the metadata of the host says where it goes to', async t => {
  const metadata = { 'envoy.filters.listener.original_dst': { local: '10.1.2.3:80' } };
  t.strictSame(restore(null, metadata).localAddress, socketOf('10.1.2.3', 80));
  const both = restore({ [originalDestinationKey]: '10.9.9.9:90' }, metadata);
  t.strictSame(both.localAddress, socketOf('10.9.9.9', 90));
});

t.test('what is no address changes nothing', async t => {
  for (const text of ['', 'a:80', '10.1.2.3', '10.1.2.3:70000', '10.1.2.3:', 'fd00::1:80', '[10.1.2.3]:80', '10.1.2.3:80 ']) {
    const info = restore({ [originalDestinationKey]: text });
    t.strictSame(info.localAddress, inside, text);
    t.notOk(info.localAddressRestored);
  }
  t.strictSame(restore(null).localAddress, inside);
});
