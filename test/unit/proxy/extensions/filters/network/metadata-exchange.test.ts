import t from 'tap';
import { createMetadataExchangeFilter } from '../../../../../../proxy/extensions/filters/network/metadata-exchange/filter.ts';
import type { NetworkFactoryContext, NetworkFilter } from '../../../../../../proxy/network/filter.ts';
import { FilterStatus } from '../../../../../../proxy/network/filter.ts';
import { encodeInitialMessage } from '../../../../../../proxy/telemetry/peer-metadata.ts';
import type { StreamInfo } from '../../../../../../proxy/telemetry/stream-info.ts';
import { encodeAny } from '../../../../../../proxy/telemetry/struct-codec.ts';
import { makeStats, makeStreamInfo, makeTls } from '../../../telemetry/fixture.ts';

const node = (name: string) => ({
  id: `sidecar~1~${name}`,
  cluster: 'c',
  locality: { region: '', zone: '', subZone: '' },
  metadata: { WORKLOAD_NAME: name, NAMESPACE: 'ns' },
});
const own = encodeInitialMessage(node('own'), []);
const peer = encodeInitialMessage(node('peer'), []);

interface Harness {
  readonly filter: NetworkFilter;
  readonly info: StreamInfo;
  /** What the filters behind saw, and what went to the wire. */
  readonly read: string[];
  readonly written: string[];
  feed(data: string | Buffer, endStream?: boolean): void;
  write(data: string): void;
  count(name: string): number;
}

function setUp(direction: 'downstream' | 'upstream', alpn = 'istio-peer-exchange'): Harness {
  const { store, merger } = makeStats();
  const info = makeStreamInfo({ tls: makeTls('spiffe://a', 'spiffe://b', alpn) });
  const read: string[] = [];
  const written: string[] = [];
  const listener = direction === 'upstream' ? null : { name: 'l', metadata: {}, filterChainMetadata: {} };
  const context = { stats: store, node: node('own'), trafficDirection: 'inbound', services: {}, listener };
  const factory = createMetadataExchangeFilter(
    { protocol: 'istio-peer-exchange', additionalLabels: [] },
    context as unknown as NetworkFactoryContext,
  );
  const note = (list: string[]) => (data: Buffer, endStream: boolean) => {
    list.push(data.toString('latin1') + (endStream ? '<end>' : ''));
  };
  const filter = factory({
    connection: { info: info.downstream } as never,
    streamInfo: info,
    continueReading: () => {},
    passReadData: note(read),
    passWriteData: note(written),
  });
  return {
    filter,
    info,
    read,
    written,
    feed: (data, endStream = false) => {
      const bytes = typeof data === 'string' ? Buffer.from(data, 'latin1') : Buffer.from(data);
      if (filter.onData!(bytes, endStream) === FilterStatus.continue) note(read)(bytes, endStream);
      // The transport may use its buffer again.
      bytes.fill(0);
    },
    write: data => {
      const bytes = Buffer.from(data, 'latin1');
      if (!filter.onWrite || filter.onWrite(bytes, false) === FilterStatus.continue) note(written)(bytes, false);
    },
    count: name => merger.valueOf('counter', `metadata_exchange.${name}`),
  };
}

for (const direction of ['downstream', 'upstream'] as const) {
  const key = direction === 'downstream' ? 'downstream_peer' : 'upstream_peer';
  const notFound = direction === 'downstream' ? 'peer_not_found' : 'upstream_peer_not_found';

  t.test(`${direction}: each side sends once before its first bytes, and the peer's message is stripped`, async t => {
    const { info, read, written, feed, write, count } = setUp(direction);
    if (direction === 'upstream') write('hello');
    feed(Buffer.concat([peer, Buffer.from('first')]));
    if (direction === 'downstream') write('hello');
    feed('second');
    t.same(read, ['first', 'second']);
    t.same(written, [own.toString('latin1'), 'hello']);
    t.match(info.getFilterState(key), { workload: 'peer', namespace: 'ns' });
    t.match(info.getFilterState(`${key}_obj`), { workload: 'peer' });
    t.equal(count('alpn_protocol_found'), 1);
    t.equal(count('metadata_added'), 1);
  });

  t.test(`${direction}: a message split at any byte is put together`, async t => {
    const bytes = Buffer.concat([peer, Buffer.from('app')]);
    for (let split = 1; split < bytes.length; split++) {
      const { info, read, feed } = setUp(direction);
      feed(bytes.subarray(0, split));
      feed(bytes.subarray(split));
      t.equal(read.join(''), 'app', `split at ${split}`);
      t.match(info.getFilterState(key), { workload: 'peer' });
    }
    const { read, feed } = setUp(direction);
    for (const byte of bytes) feed(Buffer.from([byte]));
    t.equal(read.join(''), 'app');
  });

  t.test(`${direction}: another ALPN passes every byte and marks the peer as not found`, async t => {
    for (const alpn of ['', 'h2', 'istio']) {
      const { info, read, written, feed, write, count } = setUp(direction, alpn);
      feed(peer);
      write('x');
      t.same(read, [peer.toString('latin1')]);
      t.same(written, ['x']);
      t.equal(info.getFilterState(notFound), true);
      t.equal(info.getFilterState(key), undefined);
      t.equal(count('alpn_protocol_not_found'), 1);
    }
  });

  t.test(`${direction}: without the magic the bytes are the application's`, async t => {
    const { info, read, feed, count } = setUp(direction);
    feed('GET / HTTP/1.1\r\n\r\n');
    feed('more');
    t.same(read, ['GET / HTTP/1.1\r\n\r\n', 'more']);
    t.equal(info.getFilterState(notFound), true);
    t.equal(count('initial_header_not_found'), 1);
  });

  t.test(`${direction}: an Any that cannot be decoded loses its header only`, async t => {
    const header = Buffer.from('3d23046700000004', 'hex');
    const { info, read, feed, count } = setUp(direction);
    feed(Buffer.concat([header, Buffer.from([0xff, 0xff, 0xff, 0xff]), Buffer.from('app')]));
    t.same(read, ['\xff\xff\xff\xffapp']);
    t.equal(info.getFilterState(notFound), true);
    t.equal(count('header_not_found'), 1);
  });

  t.test(`${direction}: an Any of another type tells nothing and is stripped`, async t => {
    const any = encodeAny('type.googleapis.com/google.protobuf.Duration', Buffer.from([8, 1]));
    const header = Buffer.alloc(8);
    header.writeUInt32BE(0x3d230467, 0);
    header.writeUInt32BE(any.length, 4);
    const { info, read, feed } = setUp(direction);
    feed(Buffer.concat([header, any, Buffer.from('app')]));
    t.same(read, ['app']);
    t.equal(info.getFilterState(key), undefined);
  });

  t.test(`${direction}: an end before the message is whole gives the bytes to the application`, async t => {
    const { read, feed } = setUp(direction);
    feed(peer.subarray(0, 5));
    feed(Buffer.alloc(0), true);
    t.same(read, [`${peer.toString('latin1', 0, 5)}<end>`]);
    const exact = setUp(direction);
    exact.feed(peer, true);
    t.same(exact.read, ['<end>']);
  });
}

t.test('upstream: a server that speaks first is answered with metadata', async t => {
  const { read, written, feed, info } = setUp('upstream');
  feed(Buffer.concat([peer, Buffer.from('220 ready')]));
  t.same(written, [own.toString('latin1')]);
  t.same(read, ['220 ready']);
  t.match(info.getFilterState('upstream_peer'), { workload: 'peer' });
});

t.test('downstream: a server that speaks first sends its metadata before', async t => {
  const { written, write, feed, read } = setUp('downstream');
  write('220 ready');
  t.same(written, [own.toString('latin1'), '220 ready']);
  feed(Buffer.concat([peer, Buffer.from('HELO')]));
  t.same(read, ['HELO']);
  t.same(written, [own.toString('latin1'), '220 ready'], 'once');
});
