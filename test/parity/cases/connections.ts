/** Keep-alive, hop-by-hop headers, versions, upgrades. */
import type { ParityCase } from '../parity-case.ts';

const get = (headers: string, version = '1.1') => `GET / HTTP/${version}\r\nHost: a.test\r\n${headers}\r\n`;
const http10 = { http_protocol_options: { accept_http_10: true } };
const websocket = 'Connection: Upgrade\r\nUpgrade: websocket\r\n';
const switching = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';

export const connections: readonly ParityCase[] = [
  { name: 'connection close', send: get('Connection: close\r\n') },
  { name: 'connection keep-alive', send: get('Connection: keep-alive\r\n') },
  { name: 'connection close in a list', send: get('Connection: x-a, close\r\nX-A: 1\r\n') },
  { name: 'connection Close in mixed case', send: get('Connection: Close\r\n') },
  { name: 'proxy-connection close', send: get('Proxy-Connection: close\r\n') },
  { name: 'nominated header', send: get('Connection: x-a\r\nX-A: 1\r\n') },
  { name: 'nominated host', send: get('Connection: host\r\n') },
  { name: 'nominated x-forwarded-for', send: get('Connection: x-forwarded-for\r\nX-Forwarded-For: 1.2.3.4\r\n') },
  { name: 'keep-alive header', send: get('Keep-Alive: timeout=5\r\n') },
  { name: 'te trailers', send: get('TE: trailers\r\n') },
  { name: 'te other', send: get('TE: gzip\r\n') },
  { name: 'te nominated', send: get('TE: trailers\r\nConnection: te\r\n') },
  { name: 'proxy-authorization', send: get('Proxy-Authorization: Basic x\r\n') },
  { name: 'HTTP/1.0 accepted', send: get('', '1.0'), manager: http10 },
  { name: 'HTTP/1.0 keep-alive', send: get('Connection: keep-alive\r\n', '1.0'), manager: http10 },
  {
    name: 'HTTP/1.0 with a chunked response',
    send: get('', '1.0'),
    upstream: { respond: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n' },
    manager: http10,
  },
  { name: 'HTTP/1.0 without host', send: 'GET / HTTP/1.0\r\n\r\n', manager: http10 },
  {
    name: 'HTTP/1.0 without host, default',
    send: 'GET / HTTP/1.0\r\n\r\n',
    manager: { http_protocol_options: { accept_http_10: true, default_host_for_http_10: 'd.test' } },
  },
  { name: 'websocket', send: [get(websocket), 'ping'], upstream: { respond: [switching, 'pong'] } },
  { name: 'websocket with bytes at once', send: `${get(websocket)}ping`, upstream: { respond: `${switching}pong` } },
  {
    name: 'websocket refused',
    send: get(websocket),
    upstream: { respond: 'HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno' },
  },
  { name: 'upgrade not configured', send: get('Connection: Upgrade\r\nUpgrade: foo\r\n') },
  {
    name: 'upgrade h2c',
    send: get('Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n'),
  },
  { name: 'upgrade without connection', send: get('Upgrade: websocket\r\n') },
  {
    name: 'websocket with a length',
    send: `${get(`${websocket}Content-Length: 4\r\n`)}ping`,
    upstream: { respond: [switching, 'pong'] },
  },
  { name: 'CONNECT without a route', send: 'CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n' },
  { name: 'CONNECT without a port', send: 'CONNECT a.test HTTP/1.1\r\nHost: a.test\r\n\r\n' },
  { name: 'CONNECT with a path', send: 'CONNECT /x HTTP/1.1\r\nHost: a.test\r\n\r\n' },
  {
    name: 'HEAD',
    send: 'HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n',
    upstream: { respond: 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n' },
  },
  { name: 'half close after the request', send: get(''), halfClose: true },
  { name: 'half close in the head', send: 'GET / HTTP/1.1\r\nHo', halfClose: true },
  { name: 'half close in the body', send: 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhe', halfClose: true },
  { name: 'TRACE', send: 'TRACE / HTTP/1.1\r\nHost: a.test\r\n\r\n' },
];
