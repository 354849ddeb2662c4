import t from 'tap';
import { FrameType } from '../../../../../proxy/http/h2/frame.ts';
import { makeClient, makeRequest, makeResponse, makeServer } from './codec-fixture.ts';
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

const windowUpdate = (streamId: number, increment: number) => makeFrame(FrameType.windowUpdate, 0, streamId, uint32(increment));

t.test('a body waits for the window of its stream, and its end with it', async t => {
  const server = await makeServer();
  server.feed(makeSettings([4, 3]), makeHeaders(1, requestBlock()));
  const [encoder] = server.encoders;
  encoder.encodeHeaders(makeResponse(200), false);
  encoder.encodeData(Buffer.from('abcde'), false);
  encoder.encodeTrailers(makeResponse(0, 't', 'u'));
  t.equal(encoder.bufferedBytes, 2);
  t.equal(server.stats.counts.get('pending_send_bytes'), 2);
  t.same(await server.written(), ['SETTINGS ACK', 'HEADERS 1 :status=200', 'DATA 1 abc']);
  server.feed(windowUpdate(1, 1));
  t.same(await server.written(), ['DATA 1 d']);
  server.feed(windowUpdate(1, 100));
  t.same(await server.written(), ['DATA 1 e', 'HEADERS 1 t=u END']);
  t.equal(server.stats.counts.get('streams_active'), 0);
  t.equal(server.stats.counts.get('pending_send_bytes'), 0);
});

t.test('what waits is a copy: the buffer it came in belongs to somebody else', async t => {
  const server = await makeServer();
  server.feed(makeSettings([4, 0]), makeHeaders(1, requestBlock()));
  server.encoders[0].encodeHeaders(makeResponse(200), false);
  const body = Buffer.from('abc');
  server.encoders[0].encodeData(body, true);
  body.fill('x');
  await server.written();
  server.feed(windowUpdate(1, 10));
  t.same(await server.written(), ['DATA 1 abc END']);
});

t.test('streams take turns when the window of the connection is the bottleneck', async t => {
  const server = await makeServer();
  server.feed(makeSettings([4, 1_000_000]), makeHeaders(1, requestBlock()), makeHeaders(3, requestBlock()));
  for (const encoder of server.encoders) {
    encoder.encodeHeaders(makeResponse(200), false);
    encoder.encodeData(Buffer.alloc(65_535), true);
  }
  await server.written();
  t.equal(server.encoders[0].bufferedBytes + server.encoders[1].bufferedBytes, 65_535);
  server.feed(windowUpdate(0, 20_000), windowUpdate(0, 100_000));
  t.same(await server.written(), ['DATA 3 [16384]', 'DATA 3 [3616]', 'DATA 3 [16384]', 'DATA 3 [16384]', 'DATA 3 [12767] END']);
  const both = await makeServer();
  both.feed(
    makeSettings([4, 1_000_000]),
    makeHeaders(1, requestBlock()),
    makeHeaders(3, requestBlock()),
    makeHeaders(5, requestBlock()),
  );
  for (const encoder of both.encoders) encoder.encodeHeaders(makeResponse(200), false);
  both.encoders[0].encodeData(Buffer.alloc(65_535), false);
  both.encoders[1].encodeData(Buffer.alloc(20_000), true);
  both.encoders[2].encodeData(Buffer.alloc(20_000), true);
  await both.written();
  both.feed(windowUpdate(0, 40_000));
  t.same(await both.written(), ['DATA 3 [16384]', 'DATA 5 [16384]', 'DATA 3 [3616] END', 'DATA 5 [3616] END']);
});

t.test('a smaller initial window takes back what streams had, and a larger one gives it', async t => {
  const server = await makeServer();
  server.feed(makeSettings([4, 10]), makeHeaders(1, requestBlock()));
  server.encoders[0].encodeHeaders(makeResponse(200), false);
  server.encoders[0].encodeData(Buffer.from('0123456789'), false);
  server.feed(makeSettings([4, 5]));
  server.encoders[0].encodeData(Buffer.from('abc'), true);
  await server.written();
  server.feed(windowUpdate(1, 5));
  t.same(await server.written(), [], 'minus 5 plus 5 is nothing');
  server.feed(makeSettings([4, 7]));
  t.same(await server.written(), ['SETTINGS ACK', 'DATA 1 ab']);
});

t.test('a body is acknowledged in steps of half a window', async t => {
  const server = await makeServer({ protocol: { initialStreamWindowBytes: 1000, initialConnectionWindowBytes: 65_535 } });
  server.feed(makeHeaders(1, postBlock(), false), makeData(1, Buffer.alloc(400)));
  t.same(await server.written(), []);
  server.feed(makeData(1, Buffer.alloc(200)));
  t.same(await server.written(), ['WINDOW_UPDATE 1 +600']);
});

t.test('a stream that is not read is not acknowledged, until it is read again', async t => {
  const server = await makeServer({ protocol: { initialStreamWindowBytes: 1000, initialConnectionWindowBytes: 65_535 } });
  server.feed(makeHeaders(1, postBlock(), false));
  const [encoder] = server.encoders;
  encoder.readDisable(true);
  encoder.readDisable(true);
  server.feed(makeData(1, Buffer.alloc(900)));
  encoder.readDisable(false);
  t.same(await server.written(), []);
  encoder.readDisable(false);
  t.same(await server.written(), ['WINDOW_UPDATE 1 +900']);
});

t.test('the connection gets back what a stream leaves unread when it ends', async t => {
  const server = await makeServer({ protocol: { initialStreamWindowBytes: 65_535, initialConnectionWindowBytes: 65_535 } });
  server.feed(makeHeaders(1, postBlock(), false));
  server.encoders[0].readDisable(true);
  for (let i = 0; i < 3; i++) server.feed(makeData(1, Buffer.alloc(15_000)));
  server.feed(makeFrame(FrameType.rstStream, 0, 1, uint32(8)));
  t.same(await server.written(), ['WINDOW_UPDATE +45000']);
});

t.test('a peer beyond its window loses the stream, or the connection', async t => {
  const stream = await makeServer({ protocol: { initialStreamWindowBytes: 10 } });
  stream.feed(makeHeaders(1, postBlock(), false), makeData(1, Buffer.alloc(11)));
  t.same(await stream.written(), ['RST_STREAM 1 3']);
  const connection = await makeServer({ protocol: { initialConnectionWindowBytes: 65_535 } });
  connection.feed(makeHeaders(1, postBlock(), false));
  connection.encoders[0].readDisable(true);
  for (let i = 0; i < 5; i++) connection.feed(makeData(1, Buffer.alloc(16_000)));
  t.same(await connection.written(), ['GOAWAY last 1 code 3']);
});

t.test('padding counts against the window and is acknowledged at once', async t => {
  const server = await makeServer({ protocol: { initialStreamWindowBytes: 100 } });
  server.feed(
    makeHeaders(1, postBlock(), false),
    makeFrame(FrameType.data, 8, 1, Buffer.concat([Buffer.from([60]), Buffer.alloc(61)])),
  );
  t.same(await server.written(), ['WINDOW_UPDATE 1 +61']);
});

t.test('above its limit a stream asks its user to stop, and below half of it to go on', async t => {
  const server = await makeServer({ bufferLimitBytes: 100 });
  server.feed(makeSettings([4, 0]), makeHeaders(1, requestBlock()));
  const [encoder] = server.encoders;
  encoder.encodeHeaders(makeResponse(200), false);
  encoder.encodeData(Buffer.alloc(100), false);
  t.same(server.events.slice(1), []);
  encoder.encodeData(Buffer.alloc(20), false);
  t.same(server.events.slice(1), ['1 above']);
  server.feed(windowUpdate(1, 60));
  t.same(server.events.slice(1), ['1 above']);
  server.feed(windowUpdate(1, 20));
  t.same(server.events.slice(1), ['1 above', '1 below']);
});

t.test('a connection above its limit stops every stream, those that begin then too', async t => {
  const client = await makeClient();
  client.begin('a').encodeHeaders(makeRequest(), false);
  client.codec.onAboveWriteBufferHighWatermark();
  client.begin('b').encodeHeaders(makeRequest(), false);
  client.codec.onBelowWriteBufferLowWatermark();
  t.same(client.events, ['a above', 'b above', 'a below', 'b below']);
});

t.test('a response that nobody reads is given up when its time is over', async t => {
  const server = await makeServer();
  server.feed(makeSettings([4, 0]), makeHeaders(1, requestBlock()));
  const [encoder] = server.encoders;
  encoder.setFlushTimeout?.(20);
  encoder.encodeHeaders(makeResponse(200), false);
  await server.written();
  const written = new Promise<void>(resolve => {
    const { write } = server.connection;
    server.connection.write = (data, endStream) => {
      write(data, endStream);
      resolve();
    };
  });
  encoder.encodeData(Buffer.from('abc'), true);
  await written;
  t.same(await server.written(), ['RST_STREAM 1 0']);
  t.equal(server.events.at(-1), '1 reset local-reset');
  t.equal(server.stats.counts.get('tx_flush_timeout'), 1);
});

t.test('a response is encoded when the window took its last byte', async t => {
  const server = await makeServer();
  server.feed(makeSettings([4, 2]), makeHeaders(1, requestBlock()));
  const [encoder] = server.encoders;
  encoder.encodeHeaders(makeResponse(200), false);
  encoder.encodeData(Buffer.from('abc'), true);
  t.notOk(encoder.isEncodeComplete);
  t.same(server.events.slice(1), []);
  server.feed(windowUpdate(1, 1));
  t.ok(encoder.isEncodeComplete);
  t.same(server.events.slice(1), ['1 encode complete']);
});

t.test('a client sends bodies by the same rules', async t => {
  const client = await makeClient();
  client.feed(makeSettings([4, 2]));
  const stream = client.begin('a');
  stream.encodeHeaders(makeRequest('POST'), false);
  stream.encodeData(Buffer.from('abc'), true);
  client.feed(makeHeaders(1, makeBlock([':status', '200'])));
  t.same(client.events, ['a 200 END'], 'the stream lives until its request is sent');
  client.feed(windowUpdate(1, 1));
  t.same(client.events, ['a 200 END', 'complete true']);
  t.same((await client.written()).slice(-2), ['DATA 1 ab', 'DATA 1 c END']);
});
