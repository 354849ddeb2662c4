import t from 'tap';
import type { Address } from '../../../../proxy/config/model/address.ts';
import { ListenerFilterStatus } from '../../../../proxy/listener/listener-filter.ts';
import { createOriginalSrcFactory } from '../../../../proxy/listener/original-src.ts';
import { ConnectionRecord } from '../../../../proxy/network/connection-record.ts';
import { StreamInfo } from '../../../../proxy/telemetry/stream-info.ts';
import { readPoolKey } from '../../../../proxy/upstream/pool/pool-key.ts';
import { readStreamOptions } from '../../../../proxy/upstream/stream-options.ts';

const local: Address = { kind: 'socket', address: '10.0.0.1', port: 80 };

function accept(remote: Address, mark = 1337): ConnectionRecord {
  const info = new ConnectionRecord(local, remote);
  const status = createOriginalSrcFactory({ mark })().onAccept({ info, fd: -1, transparent: true, consume() {} });
  t.equal(status, ListenerFilterStatus.continue);
  return info;
}

t.test("upstream streams bear the client's address without its port, and the mark", async t => {
  const info = accept({ kind: 'socket', address: '10.0.0.9', port: 40_000 });
  const { originalSource } = readStreamOptions(new StreamInfo(info, 0, 0), 0);
  t.same(originalSource, { address: { kind: 'socket', address: '10.0.0.9', port: 0 }, mark: 1337 });
});

t.test('clients share no upstream connection, but connections of one client do', async t => {
  const keyOf = (address: string, port: number, mark?: number): string =>
    readPoolKey(readStreamOptions(new StreamInfo(accept({ kind: 'socket', address, port }, mark), 0, 0), 0));
  t.equal(keyOf('10.0.0.9', 1), keyOf('10.0.0.9', 2));
  t.not(keyOf('10.0.0.9', 1), keyOf('10.0.0.8', 1));
  t.not(keyOf('10.0.0.9', 1), keyOf('10.0.0.9', 1, 0), 'another mark is another way of routing');
});

t.test('a client on a Unix socket has no address to bear', async t => {
  const info = accept({ kind: 'pipe', path: '' });
  t.equal(info.originalSource, null);
  t.equal(readPoolKey(readStreamOptions(new StreamInfo(info, 0, 0), 0)), '');
});
