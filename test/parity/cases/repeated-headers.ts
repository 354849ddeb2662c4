/** Repeated headers: those that Envoy holds once are joined, others stay repeated. */
import { inlineRequestHeaders, inlineResponseHeaders } from '../../../proxy/http/inline-headers.ts';
import type { ParityCase } from '../parity-case.ts';

const others = ['x-custom', 'cookie', 'set-cookie', 'accept-language', 'traceparent', 'x-b3-traceid', 'trailer', 'baggage'];
/** These frame the message or end with the hop; and the time that is rewritten differs with each run. */
const unusable = new Set(['transfer-encoding', 'content-length', 'x-envoy-upstream-service-time']);
const namesOf = (inline: ReadonlySet<string>): string[] => [...inline, ...others].filter(name => !unusable.has(name));
const repeat = (name: string): string => `${name}: 1\r\nx-between: y\r\n${name}: 2\r\n${name}: \r\n`;

export const repeatedHeaders: readonly ParityCase[] = [
  ...namesOf(inlineRequestHeaders).map(name => ({
    name: `repeated in a request: ${name}`,
    send: `GET / HTTP/1.1\r\nHost: a.test\r\n${repeat(name)}\r\n`,
  })),
  ...namesOf(inlineResponseHeaders).map(name => ({
    name: `repeated in a response: ${name}`,
    send: 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n',
    upstream: { respond: `HTTP/1.1 200 OK\r\n${repeat(name)}content-length: 2\r\n\r\nok` },
  })),
  {
    name: 'a folded line behind a repeated header',
    send: 'GET / HTTP/1.1\r\nHost: a.test\r\nvia: 1\r\nx-b: y\r\nvia: 2\r\n 3\r\n\r\n',
  },
  {
    name: 'chunks that arrive together leave together',
    send: 'POST / HTTP/1.1\r\nHost: a.test\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n1\r\nf\r\n0\r\n\r\n',
    upstream: { respond: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n' },
  },
];
