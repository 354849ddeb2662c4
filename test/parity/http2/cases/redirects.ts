/** Redirects that the proxy follows itself, rate limits and hedged retries, on streams of HTTP/2. */
import type { Http2Answer, Http2Case } from '../http2-case.ts';
import { http2Cluster } from '../http2-case.ts';

const cluster = http2Cluster();
const routes = [
  { match: { prefix: '/start' }, route: { cluster: '$lane', internal_redirect_policy: { redirect_response_codes: [302, 303] } } },
  { match: { prefix: '/' }, route: { cluster: '$lane' } },
];
/** The first stream is sent on, with or without a body; the second is answered. */
const sendOn =
  (status: number, body: string): Http2Answer =>
  (stream, _headers, count) => {
    if (count > 1) {
      stream.respond({ ':status': 200 });
      stream.end('ok');
      return;
    }
    stream.respond({ ':status': status, location: 'http://b.test/next' }, { endStream: body === '' });
    if (body !== '') stream.end(body);
  };
const start = { ':path': '/start' };

export const redirectCases: readonly Http2Case[] = [
  { name: 'internal redirect', requests: [{ headers: start }], routes, cluster, upstream: sendOn(302, '') },
  { name: 'internal redirect with a body', requests: [{ headers: start }], routes, cluster, upstream: sendOn(302, 'moved') },
  {
    name: 'internal redirect of a body',
    requests: [{ headers: start, body: 'hello' }],
    routes,
    cluster,
    upstream: sendOn(302, ''),
  },
  {
    name: 'internal redirect that makes a GET',
    requests: [{ headers: start, body: 'hello' }],
    routes,
    cluster,
    upstream: sendOn(303, ''),
  },
  {
    name: 'internal redirect of one stream among others',
    requests: [{ headers: start }, { headers: { ':path': '/other' }, together: true }],
    routes,
    cluster,
    upstream: (stream, headers) => {
      if (headers[':path'] === '/start') stream.respond({ ':status': 302, location: 'http://b.test/next' }, { endStream: true });
      else {
        stream.respond({ ':status': 200 });
        stream.end(headers[':path']);
      }
    },
  },
  {
    name: 'internal redirect of a stream that its client resets',
    requests: [{ headers: start, reset: 8 }],
    routes,
    cluster,
    upstream: (stream, _headers, count) => {
      if (count === 1) stream.respond({ ':status': 302, location: 'http://b.test/next' }, { endStream: true });
    },
  },
  {
    name: 'rate limit of two streams',
    requests: [{}, { headers: { ':path': '/two' } }],
    cluster,
    filters: [
      {
        name: 'envoy.filters.http.local_ratelimit',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit',
          stat_prefix: '$lane',
          token_bucket: { max_tokens: 1, fill_interval: '600s' },
          filter_enabled: { default_value: { numerator: 100 } },
          filter_enforced: { default_value: { numerator: 100 } },
        },
      },
    ],
  },
  {
    name: 'hedged retry',
    requests: [{}],
    cluster,
    routes: [
      {
        match: { prefix: '/' },
        route: {
          cluster: '$lane',
          retry_policy: { retry_on: '5xx', per_try_timeout: '0.5s', retry_back_off: { base_interval: '0.001s' } },
          hedge_policy: { hedge_on_per_try_timeout: true },
        },
      },
    ],
    until: /ok/,
    upstream: (stream, _headers, count) => {
      if (count === 1) return;
      stream.respond({ ':status': 200 });
      stream.end('ok');
    },
  },
];
