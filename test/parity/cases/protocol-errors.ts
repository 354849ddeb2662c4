/** Which error is met first and how it is answered, where messages may begin, and what a response without a body may not have. */
import type { ParityCase } from '../parity-case.ts';

const request = 'GET / HTTP/1.1\r\nhost: a.test\r\n\r\n';
const withHeader = (line: string): string => `GET / HTTP/1.1\r\nhost: a.test\r\n${line}\r\n\r\n`;
const respond = (name: string, answer: string | readonly string[], send = request, thenClose = false): ParityCase => ({
  name: `response: ${name}`,
  send,
  upstream: { respond: answer, thenClose },
});

const starts = ['b', 'Z', '{', 'é', '\x7f', ' ', '\t', '\x01', 'GE', 'bb cc', 'GET /', '\r\n', '\n\n'];
const messageStarts: readonly ParityCase[] = starts.flatMap(start => [
  { name: `begins with ${JSON.stringify(start)}`, send: start },
  { name: `after a request: ${JSON.stringify(start)}`, send: request + start },
  { name: `later: ${JSON.stringify(start)}`, send: [request, start] },
  { name: `line of ${JSON.stringify(start)}`, send: `${start} / HTTP/1.1\r\nhost: a.test\r\n\r\n` },
]);

const codings = ['', 'x', 'trailers', 'trailers, deflate', ',trailers', 'TRAILERS', 'deflate;q=0.5', 'gzip, trailers;q=1'];
const teHeaders: readonly ParityCase[] = codings.flatMap(te => [
  { name: `te: ${te}`, send: withHeader(`te: ${te}`) },
  { name: `te: ${te}, nominated`, send: withHeader(`te: ${te}\r\nconnection: te`) },
]);

const lines: Readonly<Record<string, string>> = {
  'HEAD of *': 'HEAD * HTTP/1.1\r\nhost: h',
  'HEAD with an unknown coding': 'HEAD / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: x',
  'HEAD chunked and sized': 'HEAD / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ntransfer-encoding: chunked',
  'HEAD without a name': 'HEAD / HTTP/1.1\r\nhost: h\r\n: x',
  'HEAD without host': 'HEAD / HTTP/1.1',
  'HEAD by HTTP/1.0': 'HEAD / HTTP/1.0\r\nhost: h',
  '* by HTTP/1.0': 'GET * HTTP/1.0\r\nhost: h',
  'unknown coding by HTTP/1.0': 'GET / HTTP/1.0\r\nhost: h\r\ntransfer-encoding: x',
  'unknown coding of *': 'GET * HTTP/1.1\r\nhost: h\r\ntransfer-encoding: x',
  '* chunked and sized': 'GET * HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ntransfer-encoding: chunked',
  'version glued to the target': 'GET /HTTP/1.1\r\nhost: h',
  'no version, with a length': 'POST /x\r\nhost: h\r\ncontent-length: 1',
  'HTTP/0.9': 'GET / HTTP/0.9\r\nhost: h',
  'HTTP/1.2': 'GET / HTTP/1.2\r\nhost: h',
  'lower-case version': 'GET / http/1.1\r\nhost: h',
  'no colon, and a control byte later': 'GET / HTTP/1.1\r\nhost: h\r\nabc\r\na: \0',
  'control byte in a line without a colon': 'GET / HTTP/1.1\r\nhost: h\r\nabc\x7fdef',
};
const errorOrder: readonly ParityCase[] = Object.entries(lines).map(([name, head]) => ({ name, send: `${head}\r\n\r\n` }));

const informational = 'HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n';
const empty = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n';
const bodiless: readonly ParityCase[] = [
  respond('103 and garbage', `${informational}garbage\r\n\r\n`),
  respond('103 and later garbage', [informational, 'garbage\r\n\r\n']),
  respond('103 and the end', informational, request, true),
  respond(
    '100 and the end',
    'HTTP/1.1 100 Continue\r\n\r\n',
    'POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nab',
    true,
  ),
  respond('103 with a length', `HTTP/1.1 103 X\r\ncontent-length: 5\r\n\r\n${empty}`),
  respond('103 chunked', `HTTP/1.1 103 X\r\ntransfer-encoding: chunked\r\n\r\n${empty}`),
  respond('204 with a body', 'HTTP/1.1 204 X\r\ncontent-length: 5\r\n\r\nabcde'),
  respond('204 with a length of 00', 'HTTP/1.1 204 X\r\ncontent-length: 00\r\n\r\n'),
  respond('204 to HEAD with a length', 'HTTP/1.1 204 X\r\ncontent-length: 5\r\n\r\n', 'HEAD / HTTP/1.1\r\nhost: h\r\n\r\n'),
  respond('205 with a body', 'HTTP/1.1 205 X\r\ncontent-length: 5\r\n\r\nabcde'),
  respond('304 to HEAD', 'HTTP/1.1 304 X\r\netag: a\r\n\r\n', 'HEAD / HTTP/1.1\r\nhost: h\r\n\r\n'),
  respond('lone CR in the reason', 'HTTP/1.1 200 O\rK\r\ncontent-length: 2\r\n\r\nok'),
  respond('host', 'HTTP/1.1 200 OK\r\nhost: a\r\nhost: b\r\ncontent-length: 0\r\n\r\n'),
];

export const protocolErrors: readonly ParityCase[] = [...messageStarts, ...teHeaders, ...errorOrder, ...bodiless];
