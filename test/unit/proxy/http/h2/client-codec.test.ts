import t from 'tap';
import { FrameType } from '../../../../../proxy/http/h2/frame.ts';
import { makeClient, makeRequest } from './codec-fixture.ts';
import { type Field, makeBlock, makeData, makeFrame, makeHeaders, makeSettings, uint32 } from '../../../../support/http2-wire.ts';

const failure = 'error codec_error:The_user_callback_function_failed';
const response = (status: string, ...more: Field[]) => makeBlock([':status', status], ...more);
const goaway = (lastStreamId: number) => makeFrame(FrameType.goaway, 0, 0, Buffer.concat([uint32(lastStreamId), uint32(0)]));

t.test('requests share the connection, and each gets its response', async t => {
  const client = await makeClient();
  const a = client.begin('a');
  const b = client.begin('b');
  b.encodeHeaders(makeRequest(), true);
  a.encodeHeaders(makeRequest('POST', 'te', 'trailers', 'connection', 'close'), false);
  a.encodeData(Buffer.from('body'), false);
  a.encodeTrailers(makeRequest('', 'x', 'y'));
  t.same(await client.written(), [
    'HEADERS 1 :method=GET :scheme=http :authority=h :path=/ END',
    'HEADERS 3 :method=POST :scheme=http :authority=h :path=/ te=trailers',
    'DATA 3 body',
    'HEADERS 3 x=y END',
  ]);
  client.feed(
    makeHeaders(3, response('200'), false),
    makeHeaders(1, response('404')),
    makeData(3, 'ok'),
    makeHeaders(3, makeBlock(['grpc-status', '0'])),
  );
  t.same(client.events, ['a 200', 'b 404 END', 'complete true', 'a data ok', 'a trailers grpc-status=0', 'complete true']);
});

t.test('the preface goes first', async t => {
  const client = await makeClient();
  t.same(client.greeting.slice(0, 2), ['PREFACE', 'SETTINGS']);
});

t.test('informational responses come before the final one', async t => {
  const client = await makeClient();
  client.begin('a').encodeHeaders(makeRequest(), true);
  client.feed(makeHeaders(1, response('103', ['link', 'x']), false), makeHeaders(1, response('200')));
  t.same(client.events, ['a 1xx 103 link=x', 'a 200 END', 'complete true']);
});

const broken: Record<string, Buffer[]> = {
  'no status': [makeHeaders(1, makeBlock(['a', 'b']))],
  'a status of four digits': [makeHeaders(1, response('2000'))],
  'a status of letters': [makeHeaders(1, response('2x0'))],
  '101': [makeHeaders(1, response('101'), false)],
  'an informational response that ends the stream': [makeHeaders(1, response('100'))],
  'a length in an informational response': [makeHeaders(1, response('100', ['content-length', '0']), false)],
  'a length in a 204': [makeHeaders(1, response('204', ['content-length', '5']))],
  'a length but no body': [makeHeaders(1, response('200', ['content-length', '5']))],
  'a header of a connection': [makeHeaders(1, response('200', ['connection', 'close']))],
  'a pseudo header of requests': [makeHeaders(1, response('200', [':path', '/']))],
  'trailers that do not end the stream': [makeHeaders(1, response('200'), false), makeHeaders(1, makeBlock(['a', 'b']), false)],
  'a push': [makeFrame(FrameType.pushPromise, 4, 1, uint32(2))],
  'a stream that nobody began': [makeHeaders(3, response('200'))],
  'a stream of the server': [makeHeaders(2, response('200'))],
};
for (const [what, frames] of Object.entries(broken)) {
  t.test(`${what} breaks the connection, and its streams know why`, async t => {
    const client = await makeClient();
    client.begin('a').encodeHeaders(makeRequest(), true);
    client.feed(...frames);
    t.same(client.events.slice(-2), ['a reset protocol-error', failure]);
  });
}

t.test('a body beside the rules costs its stream only', async t => {
  const client = await makeClient();
  const bodies: Buffer[][] = [
    [makeHeaders(1, response('200', ['content-length', '2']), false), makeData(1, 'abc', true)],
    [makeHeaders(3, response('204'), false), makeData(3, 'a', true)],
    [makeHeaders(5, response('100'), false), makeData(5, 'a', true)],
  ];
  for (const frames of bodies) {
    client.begin('a').encodeHeaders(makeRequest(), true);
    client.feed(...frames);
    t.same(client.events.slice(-2), ['a reset protocol-error', 'complete true']);
  }
  t.same(
    (await client.written()).filter(line => line.startsWith('RST')),
    ['RST_STREAM 1 1', 'RST_STREAM 3 1', 'RST_STREAM 5 1'],
  );
});

t.test('a response to HEAD has a length and no body', async t => {
  const client = await makeClient();
  client.begin('a').encodeHeaders(makeRequest('HEAD'), true);
  client.feed(makeHeaders(1, response('200', ['content-length', '5'])));
  t.same(client.events, ['a 200 content-length=5 END', 'complete true']);
});

t.test('a body before any headers is explained in a GOAWAY', async t => {
  const client = await makeClient();
  client.begin('a').encodeHeaders(makeRequest(), true);
  await client.written();
  client.feed(makeData(1, 'x', true));
  t.same(await client.written(), ['GOAWAY last 0 code 1 DATA: stream not opened']);
});

t.test('resets by the server say what kind they are', async t => {
  const reasons = {
    0: 'remote-reset-no-error',
    1: 'protocol-error',
    2: 'remote-reset',
    7: 'remote-refused-stream-reset',
    10: 'connect-error',
  };
  for (const [code, reason] of Object.entries(reasons)) {
    const client = await makeClient();
    client.begin('a').encodeHeaders(makeRequest(), true);
    client.feed(makeFrame(FrameType.rstStream, 0, 1, uint32(Number(code))));
    t.same(client.events, [`a reset ${reason}`, 'complete true']);
  }
});

t.test('GOAWAY refuses the streams above its last one and ends the use of the connection', async t => {
  const client = await makeClient();
  client.begin('a').encodeHeaders(makeRequest(), true);
  client.begin('b').encodeHeaders(makeRequest(), true);
  client.feed(goaway(1), makeHeaders(1, response('200')));
  t.same(client.events, ['goaway', 'b reset remote-refused-stream-reset', 'complete false', 'a 200 END', 'complete false']);
});

t.test('the streams that a connection takes are those of the configuration and the peer', async t => {
  const client = await makeClient({ protocol: { maxConcurrentStreams: 100 } });
  t.equal(client.codec.maxConcurrentStreams, 100);
  client.feed(makeSettings([3, 10]));
  client.feed(makeSettings([3, 1000]));
  t.same(client.events, ['max streams 10', 'max streams 100']);
});

t.test('a cancelled stream is reset, one that was never sent just vanishes', async t => {
  const client = await makeClient();
  const sent = client.begin('a');
  sent.encodeHeaders(makeRequest(), true);
  await client.written();
  sent.reset('local-reset');
  client.begin('b').reset('local-reset');
  t.same(client.events, ['a reset local-reset', 'complete true', 'b reset local-reset', 'complete true']);
  t.same(await client.written(), ['RST_STREAM 1 2']);
  client.feed(makeHeaders(1, response('200')));
  t.equal(client.events.length, 4, 'what still comes for it is ignored');
});

t.test('an upgrade becomes extended CONNECT, and its 200 becomes 101', async t => {
  const client = await makeClient();
  const upgrade = client.begin('a');
  upgrade.encodeHeaders(makeRequest('GET', 'connection', 'Upgrade', 'upgrade', 'websocket', 'a', 'b'), false);
  t.same(await client.written(), ['HEADERS 1 :method=CONNECT :scheme=http :authority=h :path=/ :protocol=websocket a=b']);
  client.feed(makeHeaders(1, response('200'), false), makeData(1, 'hi'));
  t.same(client.events, ['a 101 upgrade=websocket connection=upgrade', 'a data hi']);
});

t.test('a plain CONNECT names no scheme and no path', async t => {
  const client = await makeClient();
  client.begin('a').encodeHeaders(makeRequest('CONNECT'), false);
  t.same(await client.written(), ['HEADERS 1 :method=CONNECT :authority=h']);
});

t.test('the end of the connection ends every stream, also those that wait to be sent', async t => {
  const client = await makeClient();
  client.begin('a').encodeHeaders(makeRequest(), true);
  client.begin('b');
  client.codec.onConnectionClose('connection-termination');
  t.same(client.events, ['a reset connection-termination', 'b reset connection-termination']);
});
