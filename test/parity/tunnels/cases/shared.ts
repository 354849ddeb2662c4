/** What several cases say and hear. */
import { send, until } from '../../connection-end.ts';

export const get = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n';
export const textAnswer = { match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'hello' } } };

export const pingPong = {
  client: [send('ping'), until('pong'), 'fin', until('end')],
  upstream: [until('ping'), send('pong'), until('fin'), 'fin'],
} as const;
