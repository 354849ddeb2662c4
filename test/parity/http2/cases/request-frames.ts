/** What clients may and may not send, frame by frame. */
import { clientPreface, FrameType } from '../../../../proxy/http/h2/frame.ts';
import {
  type Field,
  makeBlock,
  makeData,
  makeFragments,
  makeFrame,
  makeHeaders,
  makeSettings,
  postBlock,
  requestBlock,
  uint32,
} from '../../../support/http2-wire.ts';
import type { FrameCase } from '../frame-exchange.ts';
import { exceptProtocolErrors } from '../http2-case.ts';

const ping = makeFrame(FrameType.ping, 0, 0, '12345678');
const reset = (streamId: number) => makeFrame(FrameType.rstStream, 0, streamId, uint32(8));
const windowUpdate = (streamId: number, increment: number) => makeFrame(FrameType.windowUpdate, 0, streamId, uint32(increment));
const priority = (dependsOn: number) => Buffer.concat([uint32(dependsOn), Buffer.from([1])]);
const repeat = (count: number, frame: Buffer) => Buffer.concat(Array.from({ length: count }, () => frame));
/** A request that is never answered: its stream stays. */
const open = makeHeaders(1, postBlock(), false);
const whole = makeHeaders(1, requestBlock());

/** Frames that stand for themselves; nothing is answered meanwhile. */
const frames: Record<string, readonly Buffer[]> = {
  'an even stream': [makeHeaders(2, requestBlock())],
  'HEADERS on stream 0': [makeHeaders(0, requestBlock())],
  'a lower stream than the last': [makeHeaders(5, requestBlock()), makeHeaders(3, requestBlock()), ping],
  'HEADERS behind the end': [whole, makeHeaders(1, requestBlock())],
  'DATA on an idle stream': [makeData(1, 'x', true)],
  'DATA on stream 0': [makeData(0, 'x')],
  'DATA behind the end': [whole, makeData(1, 'x', true)],
  'DATA behind a reset': [open, reset(1), makeData(1, 'x', true), ping],
  'HEADERS behind a reset': [open, reset(1), whole, ping],
  'a reset of an idle stream': [reset(1)],
  'a reset of stream 0': [reset(0)],
  'a reset of three bytes': [open, makeFrame(FrameType.rstStream, 0, 1, 'abc')],
  'a reset of an open stream': [open, reset(1), ping],
  'PRIORITY of stream 0': [makeFrame(FrameType.priority, 0, 0, priority(1)), ping],
  'PRIORITY of three bytes': [open, makeFrame(FrameType.priority, 0, 1, 'abc')],
  'PRIORITY of a stream on itself': [open, makeFrame(FrameType.priority, 0, 1, priority(1)), ping],
  'HEADERS that depend on themselves': [makeFrame(FrameType.headers, 0x25, 1, Buffer.concat([priority(1), requestBlock()]))],
  'a PING': [ping],
  'a PING of three bytes': [makeFrame(FrameType.ping, 0, 0, 'abc')],
  'a PING of a stream': [makeFrame(FrameType.ping, 0, 1, '12345678')],
  'an answer to no PING': [makeFrame(FrameType.ping, 1, 0, '12345678'), ping],
  'SETTINGS of three bytes': [makeFrame(FrameType.settings, 0, 0, 'abc')],
  'SETTINGS of a wrong length that do not come': [Buffer.from([0, 0, 7, FrameType.settings, 0, 0, 0, 0, 0])],
  'a PING of a wrong length, byte by byte': [Buffer.from([0, 0, 7, FrameType.ping]), Buffer.from([0, 0, 0, 0, 0])],
  'SETTINGS of a stream': [makeFrame(FrameType.settings, 0, 1)],
  'an acknowledgement with settings': [makeFrame(FrameType.settings, 1, 0, 'abcdef')],
  'an acknowledgement too many': [makeFrame(FrameType.settings, 1, 0)],
  'ENABLE_PUSH 2': [makeSettings([2, 2])],
  'ENABLE_PUSH 1': [makeSettings([2, 1]), ping],
  'a window of 2^31': [makeSettings([4, 2 ** 31])],
  'a frame size of 100': [makeSettings([5, 100])],
  'a frame size of 2^24': [makeSettings([5, 2 ** 24])],
  'ENABLE_CONNECT_PROTOCOL 2': [makeSettings([8, 2])],
  'ENABLE_CONNECT_PROTOCOL taken back': [makeSettings([8, 1]), makeSettings([8, 0]), ping],
  'an unknown setting': [makeSettings([99, 2]), ping],
  '32 settings': [makeSettings(...Array.from({ length: 32 }, () => [99, 1] as const)), ping],
  '33 settings that do not come': [makeSettings(...Array.from({ length: 33 }, () => [99, 1] as const)).subarray(0, 9)],
  '33 settings': [makeSettings(...Array.from({ length: 33 }, () => [99, 1] as const))],
  'an increment of 0': [windowUpdate(0, 0)],
  'an increment of 0 for a stream': [open, windowUpdate(1, 0)],
  'an increment of three bytes': [makeFrame(FrameType.windowUpdate, 0, 0, 'abc')],
  'a window that overflows': [windowUpdate(0, 2 ** 31 - 1)],
  'a stream window that overflows': [open, windowUpdate(1, 2 ** 31 - 1)],
  'an increment for an idle stream': [windowUpdate(1, 1)],
  'an increment for a stream that was reset': [open, reset(1), windowUpdate(1, 1), ping],
  'CONTINUATION of nothing': [makeFrame(FrameType.continuation, 4, 1, requestBlock())],
  'CONTINUATION behind a block': [open, makeFrame(FrameType.continuation, 4, 1, requestBlock())],
  'CONTINUATION of another stream': [makeFrame(FrameType.headers, 1, 1, requestBlock()), makeFrame(FrameType.continuation, 4, 3)],
  'PING within a block': [makeFrame(FrameType.headers, 1, 1, requestBlock()), ping],
  'an unknown frame within a block': [makeFrame(FrameType.headers, 1, 1, requestBlock()), makeFrame(0x20, 0, 0, 'x')],
  'a push': [makeFrame(FrameType.pushPromise, 4, 1, Buffer.concat([uint32(2), requestBlock()]))],
  'an unknown frame': [makeFrame(0x20, 0, 0, 'x'), ping],
  'an unknown frame above the largest size': [makeFrame(0x20, 0, 0, Buffer.alloc(16_385))],
  'DATA above the largest size': [open, makeData(1, Buffer.alloc(16_385))],
  'HEADERS above the largest size': [makeFrame(FrameType.headers, 5, 1, Buffer.alloc(16_385))],
  'more padding than data': [open, makeFrame(FrameType.data, 9, 1, '\x09\x01\x02')],
  'padding without length': [open, makeFrame(FrameType.data, 9, 1)],
  'more padding than data on an idle stream': [makeFrame(FrameType.data, 9, 1, '\x09\x01\x02')],
  'trailers that announce the length again': [
    makeHeaders(1, postBlock(['content-length', '3']), false),
    makeData(1, 'abc'),
    makeHeaders(1, makeBlock(['content-length', '3'])),
  ],
  'host in headers and trailers': [makeHeaders(1, postBlock(['host', 'x']), false), makeHeaders(1, makeBlock(['host', 'x']))],
  'more padding than headers': [makeFrame(FrameType.headers, 0xd, 1, Buffer.concat([Buffer.from([255]), requestBlock()]))],
  'headers without length of padding': [makeFrame(FrameType.headers, 0xd, 1)],
  'headers shorter than their priority': [makeFrame(FrameType.headers, 0x25, 1, 'ab')],
  'a GOAWAY': [makeFrame(FrameType.goaway, 0, 0, Buffer.concat([uint32(0), uint32(0)])), ping],
  'a GOAWAY of a stream': [makeFrame(FrameType.goaway, 0, 1, Buffer.concat([uint32(0), uint32(0)]))],
  'a GOAWAY of three bytes': [makeFrame(FrameType.goaway, 0, 0, 'abc')],
  'an index beyond the tables': [makeHeaders(1, Buffer.from([0xc6]))],
  'index 0': [makeHeaders(1, Buffer.from([0x80]))],
  'a block cut off': [makeHeaders(1, Buffer.from([0, 5, 97]))],
  'a table above the limit': [makeHeaders(1, Buffer.concat([Buffer.from([0x3f, 0xe2, 0x1f]), requestBlock()]))],
  'a table size behind a field': [makeHeaders(1, Buffer.concat([requestBlock(), Buffer.from([0x20])]))],
  'padding of Huffman that is not ones': [makeHeaders(1, Buffer.concat([requestBlock(), Buffer.from([0, 1, 97, 0x81, 0])]))],
  'end of string within a string': [
    makeHeaders(1, Buffer.concat([requestBlock(), Buffer.from([0, 1, 97, 0x84, 255, 255, 255, 255])])),
  ],
  'a value of 70 KB': [makeFragments(1, requestBlock(['a', 'x'.repeat(70_000)]), 16_000)],
  'a value of 62 KB': [Buffer.concat([makeFragments(1, requestBlock(['a', 'x'.repeat(62_000)]), 16_000), ping])],
  'headers of 80 KB': [
    Buffer.concat([
      makeFragments(1, requestBlock(...Array.from({ length: 20 }, (_, i): Field => [`a${i}`, 'x'.repeat(4000)])), 16_000),
      ping,
    ]),
  ],
  '101 headers': [makeHeaders(1, requestBlock(...Array.from({ length: 97 }, (_, i): Field => [`a${i}`, 'x']))), ping],
  '200 crumbs of a cookie': [makeHeaders(1, requestBlock(...Array.from({ length: 200 }, (): Field => ['cookie', 'a']))), ping],
  'empty DATA once': [open, makeData(1, ''), ping],
  'empty DATA twice': [Buffer.concat([open, repeat(2, makeData(1, ''))])],
  'DATA of padding twice': [Buffer.concat([open, repeat(2, makeFrame(FrameType.data, 8, 1, '\x02\0\0'))])],
  'empty fragments of a block': [
    Buffer.concat([makeFrame(FrameType.headers, 1, 1), repeat(2, makeFrame(FrameType.continuation, 0, 1))]),
  ],
  '100 times PRIORITY': [Buffer.concat([repeat(100, makeFrame(FrameType.priority, 0, 1, priority(3))), ping])],
  '101 times PRIORITY': [Buffer.concat([repeat(101, makeFrame(FrameType.priority, 0, 1, priority(3))), ping])],
  '200 times PRIORITY and a stream': [Buffer.concat([open, repeat(200, makeFrame(FrameType.priority, 0, 3, priority(1))), ping])],
  '201 times PRIORITY and a stream': [Buffer.concat([open, repeat(201, makeFrame(FrameType.priority, 0, 3, priority(1))), ping])],
  '5 times WINDOW_UPDATE': [Buffer.concat([repeat(5, windowUpdate(0, 1)), ping])],
  '6 times WINDOW_UPDATE': [Buffer.concat([repeat(6, windowUpdate(0, 1)), ping])],
  '7 times WINDOW_UPDATE and a stream': [Buffer.concat([open, repeat(7, windowUpdate(0, 1)), ping])],
  '8 times WINDOW_UPDATE and a stream': [Buffer.concat([open, repeat(8, windowUpdate(0, 1)), ping])],
  '512 times CONTINUATION': [
    Buffer.concat([
      makeFrame(FrameType.headers, 0, 1, postBlock()),
      repeat(511, makeFrame(FrameType.continuation, 0, 1, Buffer.from([0x82]))),
      makeFrame(FrameType.continuation, 4, 1, Buffer.from([0x82])),
      ping,
    ]),
  ],
  'a stream refused for its length, then a whole one': [
    Buffer.concat([makeHeaders(1, postBlock(['content-length', '5']), false), makeData(1, 'abc', true), ping]),
  ],
  'a longer body than announced': [
    Buffer.concat([makeHeaders(1, postBlock(['content-length', '2']), false), makeData(1, 'abc', true), ping]),
  ],
  'a thousand resets': [Buffer.concat([open, repeat(1000, reset(1)), ping])],
  'many more resets': [Buffer.concat([open, repeat(2000, reset(1))])],
  'half the streams reset at once': [
    Buffer.concat(
      Array.from({ length: 300 }, (_, i) => Buffer.concat([makeHeaders(1 + 2 * i, postBlock(), false), reset(1 + 2 * i)])),
    ),
  ],
};

const fields: Record<string, readonly Field[]> = {
  'a name in upper case': [['A', 'b']],
  connection: [['connection', 'close']],
  'an empty connection': [['connection', '']],
  'keep-alive': [['keep-alive', '1']],
  'transfer-encoding': [['transfer-encoding', 'chunked']],
  upgrade: [['upgrade', 'x']],
  'proxy-connection': [['proxy-connection', 'x']],
  'te: gzip': [['te', 'gzip']],
  'te: trailers': [['te', 'trailers']],
  'te: Trailers': [['te', 'Trailers']],
  'te: nothing': [['te', '']],
  'te: trailers and more': [['te', 'trailers, deflate']],
  'an unknown pseudo header': [[':x', 'y']],
  ':status': [[':status', '200']],
  ':protocol': [[':protocol', 'websocket']],
  'a second :path': [[':path', '/b']],
  'a pseudo header behind a header': [
    ['a', 'b'],
    [':authority', 'x'],
  ],
  'an empty name': [['', 'b']],
  'a blank in a name': [['a b', 'c']],
  'a colon in a name': [['a:b', 'c']],
  'a high byte in a name': [['a\xe9', 'b']],
  'an underscore in a name': [['a_b', 'c']],
  'a name of 300 bytes': [['a'.repeat(300), 'b']],
  'a NUL in a value': [['a', 'b\0c']],
  'a line end in a value': [['a', 'b\r\nc']],
  'a control byte in a value': [['a', 'b\x01c']],
  'DEL in a value': [['a', 'b\x7fc']],
  'a high byte in a value': [['a', 'b\xffc']],
  'a blank before a value': [['a', ' b']],
  'a blank behind a value': [['a', 'b ']],
  'a tab in a value': [['a', 'b\tc']],
  'an empty value': [['a', '']],
  'content-length of letters': [['content-length', 'a']],
  'content-length below 0': [['content-length', '-1']],
  'content-length with a sign': [['content-length', '+0']],
  'content-length 0': [['content-length', '0']],
  'content-length 00': [['content-length', '00']],
  'content-length 0 twice': [
    ['content-length', '0'],
    ['content-length', '0'],
  ],
  'content-length of nothing': [['content-length', '']],
  'content-length with a blank': [['content-length', ' 0']],
  'content-length of 2^63': [['content-length', '9223372036854775808']],
  'content-length without a body': [['content-length', '5']],
  'the same host': [['host', 'h']],
  'another host': [['host', 'x']],
  'two hosts': [
    ['host', 'h'],
    ['host', 'h'],
  ],
  'a host with a blank': [['host', 'a b']],
  'an empty host': [['host', '']],
  'a cookie in crumbs': [
    ['cookie', 'a=1'],
    ['x', 'y'],
    ['cookie', 'b=2'],
  ],
};

const pseudo: Record<string, Partial<Record<'method' | 'scheme' | 'authority' | 'path', string | null>>> = {
  'no method': { method: null },
  'no scheme': { scheme: null },
  'no path': { path: null },
  'no authority': { authority: null },
  'an empty path': { path: '' },
  'an empty authority': { authority: '' },
  'an empty method': { method: '' },
  'an empty scheme': { scheme: '' },
  'path *': { path: '*' },
  'OPTIONS *': { method: 'OPTIONS', path: '*' },
  'a path without slash': { path: 'abc' },
  'an absolute path': { path: 'http://h/' },
  'a blank in the path': { path: '/a b' },
  'a control byte in the path': { path: '/a\x01' },
  'DEL in the path': { path: '/a\x7f' },
  'a tab in the path': { path: '/a\tb' },
  'quotes in the path': { path: '/?"<>{}|^`\\' },
  'scheme ftp': { scheme: 'ftp' },
  'scheme HTTP': { scheme: 'HTTP' },
  'a scheme with a blank': { scheme: 'h ttp' },
  'a scheme with a digit first': { scheme: '1a' },
  'scheme https': { scheme: 'https' },
  'an unknown method': { method: 'FOO' },
  'a method with a blank': { method: 'F O' },
  'a method in lower case': { method: 'get' },
  'an authority with a blank': { authority: 'a b' },
  'an authority with a user': { authority: 'u@h' },
  'an authority with a slash': { authority: 'a/b' },
  'an authority with an underscore': { authority: 'a_b' },
  'an authority with a high byte': { authority: 'a\xe9' },
  'an IPv6 authority': { authority: '[::1]:80' },
  'a coded blank in the authority': { authority: 'a%20b' },
  'CONNECT with a path': { method: 'CONNECT' },
  'CONNECT with a scheme': { method: 'CONNECT', path: null },
};

function pseudoBlock(changes: (typeof pseudo)[string]): Buffer {
  const all = { method: 'GET', scheme: 'http', authority: 'h', path: '/', ...changes };
  return makeBlock(...Object.entries(all).flatMap(([name, value]): Field[] => (value === null ? [] : [[`:${name}`, value]])));
}

const body = Buffer.concat([makeHeaders(1, postBlock(), false), makeData(1, 'abc')]);
const trailers: Record<string, Buffer> = {
  trailers: makeHeaders(1, makeBlock(['a', 'b'])),
  'no trailers': makeHeaders(1, Buffer.alloc(0)),
  'trailers that do not end the request': makeHeaders(1, makeBlock(['a', 'b']), false),
  'a pseudo header in trailers': makeHeaders(1, makeBlock([':path', '/'])),
  'connection in trailers': makeHeaders(1, makeBlock(['connection', 'close'])),
  'upper case in trailers': makeHeaders(1, makeBlock(['A', 'b'])),
  'content-length in trailers': makeHeaders(1, makeBlock(['content-length', '3'])),
  'another content-length in trailers': makeHeaders(1, makeBlock(['content-length', '4'])),
  'te in trailers': makeHeaders(1, makeBlock(['te', 'gzip'])),
  'host in trailers': makeHeaders(1, makeBlock(['host', 'x'])),
};

/** Why this proxy does on purpose what Envoy does not. */
const differences: Record<string, string> = {
  'a GOAWAY': 'a client that wants no more streams still gets its PING answered',
};

const hang = { hang: true } as const;
const prefaces: FrameCase[] = [
  { name: 'frames: PING instead of SETTINGS', send: [ping], hello: clientPreface, upstream: hang },
  {
    name: 'frames: SETTINGS that acknowledge first',
    send: [makeFrame(FrameType.settings, 1, 0)],
    hello: clientPreface,
    upstream: hang,
  },
];

const narrow = Buffer.concat([clientPreface, makeSettings([4, 1]), makeFrame(FrameType.settings, 1, 0)]);
const windows: FrameCase[] = [
  { name: 'frames: a response that waits for its window', hello: narrow, send: [whole] },
  { name: 'frames: a response whose window comes', hello: narrow, send: [whole, windowUpdate(1, 1)] },
  { name: 'frames: a response that is reset while it waits', hello: narrow, send: [whole, reset(1)] },
];

export const requestFrameCases: FrameCase[] = [
  ...prefaces,
  ...windows,
  ...Object.entries(frames).map(
    ([name, send]): FrameCase => ({
      ...{ name: `frames: ${name}`, send, upstream: hang },
      ...(name in differences ? { differs: differences[name] } : {}),
      ...(name.includes('reset at once') ? { stats: exceptProtocolErrors } : {}),
    }),
  ),
  ...Object.entries(fields).map(
    ([name, more]): FrameCase => ({ name: `fields: ${name}`, send: [makeHeaders(1, requestBlock(...more))] }),
  ),
  ...Object.entries(pseudo).map(
    ([name, changes]): FrameCase => ({ name: `fields: ${name}`, send: [makeHeaders(1, pseudoBlock(changes))] }),
  ),
  ...Object.entries(trailers).map(
    ([name, frame]): FrameCase => ({ name: `fields: ${name}`, send: [Buffer.concat([body, frame])] }),
  ),
];
