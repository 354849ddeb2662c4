import t from 'tap';
import { FrameType } from '../../../../../proxy/http/h2/frame.ts';
import { makeResponse, makeServer } from './codec-fixture.ts';
import {
  clientHello,
  makeBlock,
  makeData,
  makeFragments,
  makeFrame,
  makeHeaders,
  makeSettings,
  postBlock,
  requestBlock,
  uint32,
} from '../../../../support/http2-wire.ts';

const violation = 'error codec_error:The_user_callback_function_failed';
const pingFrame = makeFrame(FrameType.ping, 0, 0, '12345678');

t.test('settings come first, and the window of the connection is opened', async t => {
  const server = await makeServer();
  t.same(server.greeting, ['SETTINGS', `WINDOW_UPDATE +${24 * 1024 * 1024 - 65_535}`, 'SETTINGS ACK']);
});

t.test('a request and its response', async t => {
  const server = await makeServer();
  server.feed(makeHeaders(1, requestBlock(['a', 'b'], ['cookie', 'c=1'], ['x', 'y'], ['cookie', 'd=2'])));
  t.same(server.events, ['1 GET http://h/ a=b x=y cookie=c=1; d=2 END']);
  server.encoders[0].encodeHeaders(makeResponse(200, 'content-type', 'text/plain'), false);
  server.encoders[0].encodeData(Buffer.from('hello'), true);
  t.same(await server.written(), ['HEADERS 1 :status=200 content-type=text/plain', 'DATA 1 hello END']);
  t.equal(server.stats.counts.get('streams_active'), 0);
});

t.test('a body with padding, then trailers', async t => {
  const server = await makeServer();
  server.feed(
    makeHeaders(1, postBlock(), false),
    makeFrame(FrameType.data, 8, 1, '\x02abc\0\0'),
    makeHeaders(1, makeBlock(['t', 'u'])),
  );
  t.same(server.events, ['1 POST http://h/', '1 data abc', '1 trailers t=u']);
  t.equal(server.stats.counts.get('trailers'), 1);
});

t.test('informational responses, trailers, and a block that needs several frames', async t => {
  const server = await makeServer();
  server.feed(makeHeaders(1, requestBlock()));
  const [encoder] = server.encoders;
  encoder.encode1xxHeaders(makeResponse(103, 'link', 'x'));
  encoder.encodeHeaders(makeResponse(200, 'x-large', 'y'.repeat(40_000)), false);
  encoder.encodeTrailers(makeResponse(0, 'grpc-status', '0'));
  t.same(await server.written(), [
    'HEADERS 1 :status=103 link=x',
    'HEADERS 1 ...',
    'CONTINUATION 1 ...',
    'CONTINUATION 1 :status=200 x-large=40000',
    'HEADERS 1 grpc-status=0 END',
  ]);
});

t.test('headers of an HTTP/1 connection stay behind', async t => {
  const server = await makeServer();
  server.feed(makeHeaders(1, requestBlock()));
  server.encoders[0].encodeHeaders(makeResponse(200, 'connection', 'close', 'transfer-encoding', 'chunked', 'a', 'b'), true);
  t.same(await server.written(), ['HEADERS 1 :status=200 a=b END']);
});

t.test('host stands in for a missing :authority and is dropped beside one', async t => {
  const server = await makeServer();
  server.feed(makeHeaders(1, makeBlock([':method', 'GET'], [':scheme', 'http'], [':path', '/'], ['host', 'x'])));
  server.feed(makeHeaders(3, requestBlock(['host', 'other'])));
  t.same(server.events, ['1 GET http://x/ END', '2 GET http://h/ END']);
});

const priority = Buffer.concat([uint32(1), Buffer.from([1])]);
const explained: Record<string, { frames: Buffer[]; goaway: string }> = {
  'DATA on stream 0': { frames: [makeData(0, 'x')], goaway: 'last 0 code 1 DATA: stream_id == 0' },
  'DATA on an idle stream': { frames: [makeData(1, 'x')], goaway: 'last 0 code 1 DATA: stream in idle' },
  'DATA behind the end': {
    frames: [makeHeaders(1, requestBlock()), makeData(1, 'x')],
    goaway: 'last 1 code 5 DATA: stream in half-closed(remote)',
  },
  'more padding than payload': {
    frames: [makeHeaders(1, postBlock(), false), makeFrame(FrameType.data, 8, 1, '\x09ab')],
    goaway: 'last 1 code 1 DATA: invalid padding',
  },
  'a frame above the largest size': {
    frames: [makeFrame(0x20, 0, 0, Buffer.alloc(16_385))],
    goaway: 'last 0 code 6 too large frame size',
  },
  'a PING of three bytes': { frames: [makeFrame(FrameType.ping, 0, 0, 'abc')], goaway: 'last 0 code 6' },
  'SETTINGS of three bytes': { frames: [makeFrame(FrameType.settings, 0, 0, 'abc')], goaway: 'last 0 code 6' },
  'a WINDOW_UPDATE of three bytes': { frames: [makeFrame(FrameType.windowUpdate, 0, 0, 'abc')], goaway: 'last 0 code 6' },
  'SETTINGS of 33 entries': {
    frames: [makeSettings(...Array.from({ length: 33 }, () => [99, 1] as const))],
    goaway: 'last 0 code 11 SETTINGS: too many setting entries',
  },
  'a CONTINUATION of nothing': {
    frames: [makeFrame(FrameType.continuation, 4, 1, requestBlock())],
    goaway: 'last 0 code 1 CONTINUATION: unexpected',
  },
  'a frame between the parts of a block': {
    frames: [makeFrame(FrameType.headers, 1, 1, requestBlock()), pingFrame],
    goaway: 'last 1 code 1 unexpected non-CONTINUATION frame or stream_id is invalid',
  },
  'a block that cannot be decoded': { frames: [makeHeaders(1, Buffer.from([0xbf]))], goaway: 'last 1 code 9' },
};
for (const [what, { frames, goaway }] of Object.entries(explained)) {
  t.test(`${what} is explained in a GOAWAY`, async t => {
    const server = await makeServer();
    server.feed(...frames);
    t.equal(server.events.at(-1), violation);
    t.same(await server.written(), [`GOAWAY ${goaway}`]);
  });
}

const unexplained: Record<string, Buffer[]> = {
  'an even stream': [makeHeaders(2, requestBlock())],
  'stream 0': [makeHeaders(0, requestBlock())],
  'HEADERS behind the end': [makeHeaders(1, requestBlock()), makeHeaders(1, requestBlock())],
  'a stream that depends on itself': [makeFrame(FrameType.headers, 0x25, 1, Buffer.concat([priority, requestBlock()]))],
  'a reset of an idle stream': [makeFrame(FrameType.rstStream, 0, 1, uint32(8))],
  'a push': [makeFrame(FrameType.pushPromise, 4, 1, uint32(2))],
  'a second acknowledgement': [makeFrame(FrameType.settings, 1, 0)],
  'a window above the limit': [makeSettings([4, 2 ** 31])],
  'a frame size below the limit': [makeSettings([5, 100])],
  'an increment of 0': [makeFrame(FrameType.windowUpdate, 0, 0, uint32(0))],
  'a window that overflows': [makeFrame(FrameType.windowUpdate, 0, 0, uint32(2 ** 31 - 1))],
  'a WINDOW_UPDATE of an idle stream': [makeFrame(FrameType.windowUpdate, 0, 1, uint32(1))],
  'trailers that do not end the stream': [makeHeaders(1, postBlock(), false), makeHeaders(1, makeBlock(['a', 'b']), false)],
  'a pseudo header in trailers': [makeHeaders(1, postBlock(), false), makeHeaders(1, makeBlock([':path', '/']))],
};
for (const [what, frames] of Object.entries(unexplained)) {
  t.test(`${what} ends the connection without a word`, async t => {
    const server = await makeServer();
    server.feed(...frames);
    t.equal(server.events.at(-1), violation);
    t.same(await server.written(), []);
  });
}

const ignored: Record<string, Buffer[]> = {
  'DATA of a stream that was reset': [
    makeHeaders(1, postBlock(), false),
    makeFrame(FrameType.rstStream, 0, 1, uint32(8)),
    makeData(1, 'x'),
    makeHeaders(1, requestBlock()),
  ],
  'a lower stream than the last': [makeHeaders(5, requestBlock()), makeHeaders(3, requestBlock())],
  'PRIORITY of anything': [makeFrame(FrameType.priority, 0, 0, priority)],
  'an unknown frame': [makeFrame(0x20, 0, 0, 'x')],
  'an unknown setting': [makeSettings([99, 1])],
  'a GOAWAY': [makeFrame(FrameType.goaway, 0, 0, Buffer.concat([uint32(0), uint32(0)]))],
  'an answer to no PING': [makeFrame(FrameType.ping, 1, 0, '12345678')],
};
for (const [what, frames] of Object.entries(ignored)) {
  t.test(`${what} does no harm`, async t => {
    const server = await makeServer();
    server.feed(...frames, pingFrame);
    t.equal((await server.written()).at(-1), 'PING ACK');
    t.notOk(server.events.some(event => event.startsWith('error')));
  });
}

t.test('a wrong preface ends the connection', async t => {
  const server = await makeServer({ hello: Buffer.from('GET / HTTP/1.1\r\n\r\n') });
  t.same(server.events, [violation]);
});

t.test('SETTINGS must follow the preface', async t => {
  const server = await makeServer({ hello: Buffer.concat([clientHello.subarray(0, 24), pingFrame]) });
  t.same(server.events, [violation]);
});

t.test('the peer may have so many streams and no more', async t => {
  const server = await makeServer({ protocol: { maxConcurrentStreams: 1 } });
  server.feed(makeHeaders(1, requestBlock()));
  server.encoders[0].encodeHeaders(makeResponse(204), true);
  server.feed(makeHeaders(3, requestBlock()), makeHeaders(5, requestBlock()));
  t.same(server.events, ['1 GET http://h/ END', '2 GET http://h/ END', violation]);
});

t.test('a client that cannot know the limit yet has its stream refused', async t => {
  const server = await makeServer({ protocol: { maxConcurrentStreams: 1 }, hello: clientHello.subarray(0, 33) });
  server.feed(makeHeaders(1, postBlock(), false), makeHeaders(3, requestBlock()));
  t.same(server.events, ['1 POST http://h/']);
  t.same(await server.written(), ['RST_STREAM 3 7']);
  t.equal(server.stats.counts.get('stream_refused_errors'), 1);
});

t.test('resets carry a code for their reason, and come behind what was encoded to the end', async t => {
  const server = await makeServer();
  for (const id of [1, 3, 5, 7]) server.feed(makeHeaders(id, postBlock(), false));
  const [first, second, third, fourth] = server.encoders;
  first.reset('local-reset');
  second.reset('local-refused-stream-reset');
  third.reset('connect-error');
  fourth.encodeHeaders(makeResponse(200), true);
  fourth.reset('local-reset');
  t.same(server.events.slice(4), [
    '1 reset local-reset',
    '2 reset local-refused-stream-reset',
    '3 reset connect-error',
    '4 reset local-reset',
  ]);
  t.same(await server.written(), [
    'RST_STREAM 1 2',
    'RST_STREAM 3 7',
    'RST_STREAM 5 10',
    'HEADERS 7 :status=200 END',
    'RST_STREAM 7 0',
  ]);
  t.equal(server.stats.counts.get('tx_reset'), 4);
});

t.test('a response that is complete before its request waits for what has arrived of it', async t => {
  for (const endStream of [true, false]) {
    const server = await makeServer();
    const { encoders, codec } = server;
    codec.dispatch(makeHeaders(1, postBlock(), false), false);
    const [encoder] = encoders;
    const { events } = server;
    // Answers within the dispatch, as a direct response does.
    events.push = (...more: string[]) => {
      if (more[0] !== '1 data a') return Array.prototype.push.apply(events, more);
      encoder.encodeHeaders(makeResponse(200), true);
      encoder.reset('local-reset');
      return 0;
    };
    server.feed(makeData(1, 'a'), makeData(1, 'b', endStream));
    t.same(await server.written(), ['HEADERS 1 :status=200 END', ...(endStream ? [] : ['RST_STREAM 1 0'])]);
    t.equal(server.stats.counts.get('streams_active'), 0);
  }
});

t.test('a reset by the peer reaches the user with its reason', async t => {
  const server = await makeServer();
  server.feed(makeHeaders(1, requestBlock()), makeFrame(FrameType.rstStream, 0, 1, uint32(8)));
  t.same(server.events, ['1 GET http://h/ END', '1 reset remote-reset http2.remote_reset']);
  server.encoders[0].encodeHeaders(makeResponse(200), true);
  t.same(await server.written(), [], 'nothing is sent on a stream that is gone');
});

t.test('draining: a notice admits every stream, GOAWAY no more', async t => {
  const server = await makeServer();
  server.feed(makeHeaders(1, requestBlock()));
  server.codec.shutdownNotice();
  server.feed(makeHeaders(3, requestBlock()));
  server.codec.goAway();
  server.feed(makeHeaders(5, requestBlock()));
  server.encoders[1].encodeHeaders(makeResponse(200), true);
  t.same(server.events, ['1 GET http://h/ END', '2 GET http://h/ END']);
  t.same(await server.written(), [`GOAWAY last ${2 ** 31 - 1} code 0`, 'GOAWAY last 3 code 0', 'HEADERS 3 :status=200 END']);
  t.equal(server.stats.counts.get('goaway_sent'), 2);
});

t.test('extended CONNECT looks like an upgrade inside', async t => {
  const server = await makeServer({ protocol: { allowConnect: true } });
  const connect = makeBlock(
    [':method', 'CONNECT'],
    [':scheme', 'http'],
    [':authority', 'h'],
    [':path', '/chat'],
    [':protocol', 'websocket'],
  );
  server.feed(makeHeaders(1, connect, false), makeData(1, 'hi'));
  t.same(server.events, ['1 GET http://h/chat upgrade=websocket connection=upgrade', '1 data hi']);
  server.encoders[0].encodeHeaders(makeResponse(101, 'upgrade', 'websocket', 'connection', 'upgrade'), false);
  server.encoders[0].encodeData(Buffer.from('ho'), false);
  t.same(await server.written(), ['HEADERS 1 :status=200', 'DATA 1 ho']);
});

t.test('CONNECT has a host and a port only', async t => {
  const server = await makeServer();
  server.feed(makeHeaders(1, makeBlock([':method', 'CONNECT'], [':authority', 'h:80']), false));
  t.same(server.events, ['1 CONNECT ://h:80']);
});

t.test('the end of the connection ends every stream', async t => {
  const server = await makeServer();
  server.feed(makeHeaders(1, requestBlock()), makeHeaders(3, requestBlock()));
  server.codec.onConnectionClose('connection-termination');
  t.same(server.events.slice(2), ['1 reset connection-termination', '2 reset connection-termination']);
  t.equal(server.stats.counts.get('streams_active'), 0);
});

t.test('frames mean the same however their bytes are cut', async t => {
  const bytes = Buffer.concat([
    clientHello,
    makeFragments(1, postBlock(['a', 'b'.repeat(300)]), 50),
    makeHeaders(3, postBlock(), false),
    makeFrame(FrameType.data, 8, 3, '\x03abcdef\0\0\0'),
    makeData(3, 'ghi', true),
    pingFrame,
  ]);
  for (let size = 1; size < 40; size++) {
    const server = await makeServer({ hello: Buffer.alloc(0) });
    for (let at = 0; at < bytes.length; at += size) server.feed(bytes.subarray(at, at + size));
    const body = server.events.filter(event => event.startsWith('2 data')).map(event => event.slice(7).replace(' END', ''));
    t.equal(body.join(''), 'abcdefghi', `pieces of ${size}`);
    t.equal(server.events[0], '1 POST http://h/ a=300 END');
    t.equal((await server.written()).at(-1), 'PING ACK');
  }
});
