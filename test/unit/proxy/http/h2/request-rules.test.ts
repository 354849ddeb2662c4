import t from 'tap';
import { makeServer } from './codec-fixture.ts';
import {
  type Field,
  makeBlock,
  makeData,
  makeFragments,
  makeHeaders,
  postBlock,
  requestBlock,
} from '../../../../support/http2-wire.ts';

const violation = 'error codec_error:The_user_callback_function_failed';

const brokenFields: Record<string, readonly Field[]> = {
  'a name in upper case': [['A', 'b']],
  'an empty name': [['', 'b']],
  'a blank in a name': [['a b', 'c']],
  'a control byte in a value': [['a', 'b\x01']],
  'a line end in a value': [['a', 'b\r\nc']],
  connection: [['connection', 'close']],
  'transfer-encoding': [['transfer-encoding', 'chunked']],
  'te other than trailers': [['te', 'gzip']],
  'an unknown pseudo header': [[':x', 'y']],
  'a pseudo header behind a header': [
    ['a', 'b'],
    [':path', '/'],
  ],
  'a second path': [[':path', '/b']],
  'a pseudo header of responses': [[':status', '200']],
  ':protocol where it was not offered': [[':protocol', 'websocket']],
  'a content-length that is none': [['content-length', '+1']],
  'two content-lengths': [
    ['content-length', '0'],
    ['content-length', '0'],
  ],
  'an empty host': [['host', '']],
};
for (const [what, fields] of Object.entries(brokenFields)) {
  t.test(`${what} ends the connection without a GOAWAY`, async t => {
    const server = await makeServer();
    server.feed(makeHeaders(1, requestBlock(...fields)));
    t.same(server.events, [violation]);
    t.equal(server.encoders[0].responseDetails, 'http2.invalid.header.field');
    t.same(await server.written(), []);
    t.equal(server.stats.counts.get('rx_messaging_error'), 1);
    server.feed(makeHeaders(3, requestBlock()));
    t.equal(server.events.length, 1, 'nothing more is read');
  });
}

const request = (fields: Record<string, string>) => makeBlock(...Object.entries(fields));
const brokenMessages: Record<string, Buffer> = {
  'no method': request({ ':scheme': 'http', ':authority': 'h', ':path': '/' }),
  'no scheme': request({ ':method': 'GET', ':authority': 'h', ':path': '/' }),
  'no path': request({ ':method': 'GET', ':scheme': 'http', ':authority': 'h' }),
  'no authority': request({ ':method': 'GET', ':scheme': 'http', ':path': '/' }),
  'a path without slash': request({ ':method': 'GET', ':scheme': 'http', ':authority': 'h', ':path': 'a' }),
  'an asterisk but not OPTIONS': request({ ':method': 'GET', ':scheme': 'http', ':authority': 'h', ':path': '*' }),
  'CONNECT with a path': request({ ':method': 'CONNECT', ':scheme': 'http', ':authority': 'h', ':path': '/' }),
  'a length but no body': postBlock(['content-length', '5']),
};
for (const [what, block] of Object.entries(brokenMessages)) {
  t.test(`a request with ${what} breaks a rule of messaging`, async t => {
    const server = await makeServer();
    server.feed(makeHeaders(1, block));
    t.same(server.events, [violation]);
    t.equal(server.encoders[0].responseDetails, 'http2.violation.of.messaging.rule');
  });
}

t.test('where it is configured so, an invalid message costs its stream only', async t => {
  const server = await makeServer({ protocol: { streamErrorOnInvalidHttpMessaging: true } });
  server.feed(makeHeaders(1, requestBlock(['A', 'b'])), makeHeaders(3, requestBlock()));
  t.same(server.events, ['1 reset remote-reset http2.invalid.header.field', '2 GET http://h/ END']);
  t.same(await server.written(), ['RST_STREAM 1 1']);
});

t.test('a body that is not as long as announced resets its stream', async t => {
  for (const length of ['2', '5']) {
    const server = await makeServer();
    server.feed(makeHeaders(1, postBlock(['content-length', length]), false), makeData(1, 'abc', true));
    t.equal(server.events.at(-1), '1 reset protocol-error http2.remote_reset');
    t.same(await server.written(), ['RST_STREAM 1 1']);
  }
});

t.test('too many and too large headers reset the stream, and the table goes on', async t => {
  const many = Array.from({ length: 97 }, (_, index): Field => [`a${index}`, 'b']);
  const server = await makeServer();
  server.feed(makeHeaders(1, requestBlock(...many)));
  server.feed(makeFragments(3, requestBlock(['a', 'b'.repeat(62_000)]), 16_000));
  server.feed(makeFragments(5, requestBlock(...Array.from({ length: 50 }, (): Field => ['cookie', 'c'.repeat(2000)])), 16_000));
  server.feed(makeHeaders(7, requestBlock(['a', 'b'])));
  t.same(server.events, [
    '1 reset remote-reset http2.too_many_headers',
    '2 reset remote-reset http2.header_list_size_too_large',
    '3 reset remote-reset http2.header_list_size_too_large',
    '4 GET http://h/ a=b END',
  ]);
  t.same(await server.written(), ['RST_STREAM 1 2', 'RST_STREAM 3 2', 'RST_STREAM 5 2']);
  t.equal(server.stats.counts.get('header_overflow'), 1);
  t.equal(server.stats.counts.get('header_list_size_too_large'), 2);
});

t.test('names with underscores are dropped or refused where it is configured', async t => {
  const dropping = await makeServer({ options: { headersWithUnderscores: 'drop' } });
  dropping.feed(makeHeaders(1, requestBlock(['a_b', 'c'])));
  t.same(dropping.events, ['1 GET http://h/ END']);
  t.equal(dropping.stats.counts.get('dropped_headers_with_underscores'), 1);
  const rejecting = await makeServer({ options: { headersWithUnderscores: 'reject' } });
  rejecting.feed(makeHeaders(1, requestBlock(['a_b', 'c'])));
  t.same(rejecting.events, ['1 reset remote-reset http2.unexpected_underscore']);
  t.same(await rejecting.written(), ['RST_STREAM 1 2']);
});
