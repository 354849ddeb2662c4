/** Sessions that stay on their host. The host is a socket that does not exist: its name is the same in every run. */
import type { ParityCase } from '../parity-case.ts';

const host = '/nonexistent/parity.sock';
const base64 = (text: string) => Buffer.from(text, 'latin1').toString('base64');
/** `message Cookie { string address = 1; }` */
const cookieOf = (address: string) => base64(`\x0a${String.fromCharCode(address.length)}${address}`);
const get = (path = '/', headers = '') => `GET ${path} HTTP/1.1\r\nHost: a.test\r\n${headers}\r\n`;
const type = (name: string) => `type.googleapis.com/envoy.extensions.${name}`;
const states = {
  header: {
    name: 'envoy.http.stateful_session.header',
    typed_config: { '@type': type('http.stateful_session.header.v3.HeaderBasedSessionState'), name: 'x-session' },
  },
  cookie: {
    name: 'envoy.http.stateful_session.cookie',
    typed_config: {
      '@type': type('http.stateful_session.cookie.v3.CookieBasedSessionState'),
      cookie: { name: 'session', path: '/p' },
    },
  },
};
const session = (name: string, state: keyof typeof states, send: string, parts: object = {}): ParityCase => ({
  name: `session: ${name}`,
  send,
  filters: [
    {
      name: 'session',
      typed_config: {
        '@type': type('filters.http.stateful_session.v3.StatefulSession'),
        session_state: states[state],
        ...parts,
      },
    },
  ],
  cluster: {
    load_assignment: {
      cluster_name: '$lane',
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path: host } } } }] }],
    },
  },
});

export const sessions: readonly ParityCase[] = [
  session('a header that begins one', 'header', get()),
  session('a header that asks for the host', 'header', get('/', `x-session: ${base64(host)}\r\n`)),
  session('a header that asks for a host that is gone', 'header', get('/', `x-session: ${base64('10.0.0.9:80')}\r\n`)),
  session('strict: a host that is gone', 'header', get('/', `x-session: ${base64('10.0.0.9:80')}\r\n`), { strict: true }),
  session('strict: no host asked for', 'header', get(), { strict: true }),
  session('a header that is no base64', 'header', get('/', 'x-session: !!\r\n')),
  session('a cookie that begins one', 'cookie', get('/p')),
  session('a cookie that asks for the host', 'cookie', get('/p/x', `cookie: a=b; session="${cookieOf(host)}"\r\n`)),
  session('a cookie that asks for a host that is gone', 'cookie', get('/p?x', `cookie: session=${cookieOf('10.0.0.9:80')}\r\n`)),
  session('a path that the cookie is not for', 'cookie', get('/page')),
];
