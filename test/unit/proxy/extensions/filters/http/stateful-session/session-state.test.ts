import t from 'tap';
import {
  createSessionState,
  encodeSession,
  parseSession,
} from '../../../../../../../proxy/extensions/filters/http/stateful-session/session-state.ts';
import { HeaderMap } from '../../../../../../../proxy/http/header-map.ts';

function request(path: string, headers: { readonly [name: string]: string } = {}): HeaderMap {
  const map = new HeaderMap();
  map.path = path;
  for (const [name, value] of Object.entries(headers)) map.add(name, value);
  return map;
}

const host = '127.0.0.1:21003';
/** As Envoy writes it. */
const encodedHost = 'Cg8xMjcuMC4wLjE6MjEwMDM=';

t.test('a cookie names the host in the encoding of Envoy', async t => {
  const state = createSessionState({ kind: 'cookie', name: 'sess', ttlMs: 0, path: '/p' });
  const response = new HeaderMap();
  state.writeHost(response, host);
  t.equal(response.get('set-cookie'), `sess="${encodedHost}"; Path=/p; HttpOnly`);
  t.equal(state.readHost(request('/p', { cookie: `a=b; sess="${encodedHost}"` })), host);
  t.equal(state.readHost(request('/p/below?q', { cookie: `sess=${encodedHost}` })), host);
});

t.test('what is no session begins one; a path that is not below the cookie can have none', async t => {
  const state = createSessionState({ kind: 'cookie', name: 'sess', ttlMs: 0, path: '/p' });
  t.equal(state.readHost(request('/p')), null);
  t.equal(state.readHost(request('/p', { cookie: 'sess=!!!' })), null);
  t.equal(state.readHost(request('/p', { cookie: `sess=${Buffer.from(host).toString('base64')}` })), null);
  t.equal(state.readHost(request('/page', { cookie: `sess=${encodedHost}` })), undefined);
});

t.test('a session expires', async t => {
  const bytes = encodeSession(host, 2000);
  t.equal(parseSession(bytes, 1_999_000), host);
  t.equal(parseSession(bytes, 2_001_000), null);
  for (let length = 0; length < bytes.length; length++) {
    t.ok([null, host].includes(parseSession(bytes.subarray(0, length), 1_999_000)), `${length} bytes of it`);
  }
});

t.test('a header names the host in base64', async t => {
  const state = createSessionState({ kind: 'header', name: 'x-sess' });
  const value = Buffer.from(host).toString('base64');
  const response = new HeaderMap();
  state.writeHost(response, host);
  t.equal(response.get('x-sess'), value);
  t.equal(state.readHost(request('/', { 'x-sess': value })), host);
  t.equal(state.readHost(request('/', { 'x-sess': '!!' })), null);
  t.equal(state.readHost(request('/')), null);
});
