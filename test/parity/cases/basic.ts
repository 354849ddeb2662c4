import type { ParityCase } from '../parity-case.ts';

const get = (path: string, ...headers: string[]) => [`GET ${path} HTTP/1.1`, 'host: a', ...headers, '', ''].join('\r\n');

/** Well-formed requests. */
export const basicCases: readonly ParityCase[] = [
  { name: 'a GET', send: get('/') },
  { name: 'a GET split at every byte', send: [...get('/split')] },
  { name: 'two pipelined GETs', send: get('/one') + get('/two') },
  {
    name: 'a HEAD',
    send: 'HEAD / HTTP/1.1\r\nhost: a\r\n\r\n',
    upstream: { respond: 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n' },
  },
  { name: 'a POST with content-length', send: 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello' },
  { name: 'a chunked POST', send: 'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n' },
  { name: 'a connection that the client wants closed', send: get('/', 'connection: close') },
  { name: 'an upstream that nobody listens on', send: get('/'), upstream: { absent: true } },
  { name: 'an upstream that closes instead of answering', send: get('/'), upstream: { closeAfterHead: true } },
  { name: 'an upstream that resets instead of answering', send: get('/'), upstream: { resetAfterHead: true } },
  { name: 'an upstream that never answers', send: get('/'), upstream: { hang: true } },
  { name: 'no route', send: get('/'), route: { match: { prefix: '/other' } } },
];
