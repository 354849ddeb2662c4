import t from 'tap';
import { FrameType } from '../../../../../proxy/http/h2/frame.ts';
import { makeResponse, makeServer } from './codec-fixture.ts';
import {
  makeBlock,
  makeData,
  makeFrame,
  makeHeaders,
  makeSettings,
  postBlock,
  requestBlock,
  uint32,
} from '../../../../support/http2-wire.ts';

const ping = makeFrame(FrameType.ping, 0, 0, '12345678');
const priority = makeFrame(FrameType.priority, 0, 1, Buffer.from([0, 0, 0, 3, 1]));
const windowUpdate = makeFrame(FrameType.windowUpdate, 0, 0, uint32(1));
const repeat = (count: number, frame: Buffer) => Buffer.concat(Array.from({ length: count }, () => frame));

t.test('empty frames in a row: one is tolerated', async t => {
  const empty = makeData(1, '');
  const padded = makeFrame(FrameType.data, 8, 1, '\x02\0\0');
  const head = makeHeaders(1, postBlock(), false);
  const fine = await makeServer();
  fine.feed(head, empty, makeData(1, 'a'), empty, makeData(1, '', true));
  t.same(fine.events, ['1 POST http://h/', '1 data a', '1 data  END']);
  for (const frame of [empty, padded, makeFrame(FrameType.headers, 0, 1, '')]) {
    const server = await makeServer();
    server.feed(
      head,
      frame,
      frame.equals(makeFrame(FrameType.headers, 0, 1, '')) ? makeFrame(FrameType.continuation, 0, 1, '') : frame,
    );
    t.equal(server.events.at(-1), 'flood codec_error:Too_many_consecutive_frames_with_an_empty_payload');
    t.equal(server.encoders[0].responseDetails, 'http2.inbound_empty_frames_flood');
    t.equal(server.stats.counts.get('inbound_empty_frames_flood'), 1);
  }
});

t.test('PRIORITY: a hundred for each open stream and one more', async t => {
  const server = await makeServer();
  server.feed(repeat(100, priority));
  t.same(server.events, []);
  server.feed(makeHeaders(1, postBlock(), false), repeat(100, priority));
  t.equal(server.events.length, 1);
  server.feed(priority);
  t.equal(server.events.at(-1), 'flood codec_error:Too_many_PRIORITY_frames');
  t.equal(server.stats.counts.get('inbound_priority_frames_flood'), 1);
});

t.test('WINDOW_UPDATE: five, two for each open stream, twenty for each DATA frame sent', async t => {
  const server = await makeServer();
  server.feed(makeHeaders(1, postBlock(), false), repeat(7, windowUpdate));
  t.equal(server.events.length, 1);
  server.encoders[0].encodeHeaders(makeResponse(200), false);
  server.encoders[0].encodeData(Buffer.from('a'), false);
  server.feed(repeat(20, windowUpdate));
  t.equal(server.events.length, 1);
  server.feed(windowUpdate);
  t.equal(server.events.at(-1), 'flood codec_error:Too_many_WINDOW_UPDATE_frames');
  t.equal(server.stats.counts.get('inbound_window_update_frames_flood'), 1);
});

t.test('CONTINUATION: 512 of a block', async t => {
  const part = makeFrame(FrameType.continuation, 0, 1, makeBlock(['cookie', 'a']));
  const server = await makeServer({ options: { maxHeadersCount: 10_000 } });
  const last = makeFrame(FrameType.continuation, 4, 1, makeBlock(['cookie', 'b']));
  server.feed(makeFrame(FrameType.headers, 1, 1, requestBlock()), repeat(511, part), last);
  t.equal(server.events.length, 1);
  server.feed(makeFrame(FrameType.headers, 1, 3, requestBlock()));
  for (let i = 0; i < 513; i++) server.feed(makeFrame(FrameType.continuation, 0, 3, makeBlock(['cookie', 'a'])));
  t.equal(server.events.at(-1), 'error codec_error:The_user_callback_function_failed');
});

const provoked: Record<string, { frames: (index: number) => Buffer; first: number }> = {
  PING: { frames: () => ping, first: 1001 },
  SETTINGS: { frames: () => makeSettings(), first: 1001 },
  // What is reset is opened first.
  'resets provoked by the peer': {
    frames: index => makeHeaders(1 + 2 * index, postBlock(['content-length', '1'], ['x', 'y']), false),
    first: 1001,
  },
};
for (const [what, { frames, first }] of Object.entries(provoked)) {
  t.test(`${what}: a thousand answers may wait for a peer that does not read`, async t => {
    const server = await makeServer({ protocol: { maxConcurrentStreams: 10_000 } });
    server.connection.stalled = true;
    const extra = (index: number) => (what.startsWith('resets') ? makeData(1 + 2 * index, 'ab') : Buffer.alloc(0));
    for (let i = 0; i < first - 1; i++) server.feed(frames(i), extra(i));
    t.notOk(server.events.some(event => event.startsWith('flood')));
    server.feed(frames(first), extra(first));
    t.equal(server.events.at(-1), 'flood codec_error:Too_many_control_frames_in_the_outbound_queue.');
    t.equal(server.stats.counts.get('outbound_control_flood'), 1);
  });
}

t.test('resets: a thousand at once', async t => {
  const server = await makeServer();
  const reset = makeFrame(FrameType.rstStream, 0, 1, uint32(8));
  server.feed(makeHeaders(1, requestBlock()), repeat(1000, reset));
  t.same(server.events, ['1 GET http://h/ END', '1 reset remote-reset http2.remote_reset']);
  // A second may have passed meanwhile, which allows a few more.
  for (let i = 0; i < 1000 && server.events.length === 2; i++) server.feed(reset);
  t.same(await server.written(), ['GOAWAY last 1 code 2']);
  t.equal(server.events.at(-1), 'error codec_error:The_user_callback_function_failed');
});

t.test('answers that the peer reads are not counted', async t => {
  const server = await makeServer();
  for (let i = 0; i < 5000; i++) server.feed(ping);
  t.same(server.events, []);
});

t.test('frames of any kind: a peer that does not read is left when ten thousand wait', async t => {
  const server = await makeServer();
  server.feed(makeHeaders(1, requestBlock()));
  server.connection.stalled = true;
  const [encoder] = server.encoders;
  encoder.encodeHeaders(makeResponse(200), false);
  for (let i = 0; i < 9999; i++) encoder.encodeData(Buffer.from('a'), false);
  await server.written();
  t.equal(server.connection.closed, null);
  encoder.encodeData(Buffer.from('a'), false);
  await server.written();
  t.equal(server.connection.closed, 'no-flush');
  t.equal(server.stats.counts.get('outbound_flood'), 1);
});

t.test('frames that wait are shown while the connection is above its high watermark', async t => {
  const server = await makeServer();
  const { counts } = server.stats;
  server.connection.stalled = true;
  for (let i = 0; i < 3; i++) server.feed(ping);
  await server.written();
  server.codec.onAboveWriteBufferHighWatermark();
  t.equal(counts.get('outbound_control_frames_active'), 3);
  t.equal(counts.get('outbound_frames_active'), 3);
  server.codec.onBelowWriteBufferLowWatermark();
  t.equal(counts.get('outbound_frames_active'), 0);
  server.codec.onAboveWriteBufferHighWatermark();
  server.codec.onConnectionClose('connection-termination');
  t.equal(counts.get('outbound_control_frames_active'), 0);
});
