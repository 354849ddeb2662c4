/** Retries beside slow attempts. */
import type { ParityCase, UpstreamBehaviour } from '../parity-case.ts';

const get = (path = '/', headers = '') => `GET ${path} HTTP/1.1\r\nHost: a.test\r\n${headers}\r\n`;
const hang: UpstreamBehaviour = { hang: true };
const reply = (status: number, body = String(status)): UpstreamBehaviour => ({
  respond: `HTTP/1.1 ${status} X\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
});
const quick = { base_interval: '0.001s', max_interval: '0.005s' };
const internal = {
  manager: {
    use_remote_address: true,
    internal_address_config: { cidr_ranges: [{ address_prefix: '127.0.0.0', prefix_len: 8 }] },
  },
};
const stats = /upstream_rq_|upstream_cx_total|upstream_cx_destroy/;

function hedged(
  name: string,
  upstream: ParityCase['upstream'],
  parts: Partial<ParityCase> & { policy?: object; hedge?: object; route?: object } = {},
): ParityCase {
  const { policy = {}, hedge = {}, route = {}, ...rest } = parts;
  const retry_policy = { retry_on: '5xx', num_retries: 2, per_try_timeout: '0.5s', retry_back_off: quick, ...policy };
  const hedge_policy = { hedge_on_per_try_timeout: true, ...hedge };
  const routes = [
    { match: { prefix: '/' }, route: { cluster: '$lane', timeout: '20s', retry_policy, hedge_policy, ...route } as object },
  ];
  return { name: `hedging: ${name}`, send: get(), stats, upstream, routes, until: /HTTP/, ...rest };
}

export const hedging: readonly ParityCase[] = [
  hedged('the retry answers', [hang, reply(200)]),
  hedged('the second retry answers', [hang, hang, reply(200)]),
  hedged('the retry fails, and another answers', [hang, reply(503), reply(200)]),
  hedged('the retry fails, and no other is left', [hang, reply(503)], { policy: { num_retries: 1 }, route: { timeout: '1.2s' } }),
  hedged('nobody answers', hang, { route: { timeout: '1.3s' } }),
  hedged('the retry is reset', [hang, { resetAfterHead: true }, reply(200)]),
  hedged('no retries', [hang, reply(200)], { policy: { num_retries: 0 }, route: { timeout: '1s' } }),
  hedged('a body', [hang, reply(200)], { send: 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello' }),
  hedged('an error before the time is over', [reply(503), reply(200)]),
  hedged('not of this condition', [hang, reply(500)], { policy: { retry_on: 'gateway-error' } }),
  hedged('without a retry policy', hang, { policy: { retry_on: '' }, route: { timeout: '1s' } }),
  hedged('asked for by the request', [hang, reply(200)], {
    hedge: { hedge_on_per_try_timeout: false },
    send: get('/', 'x-envoy-hedge-on-per-try-timeout: true\r\n'),
    ...internal,
  }),
  hedged('refused by the request', [hang, reply(200)], {
    send: get('/', 'x-envoy-hedge-on-per-try-timeout: false\r\n'),
    ...internal,
  }),
  hedged('asked for by no word', [hang, reply(200)], {
    send: get('/', 'x-envoy-hedge-on-per-try-timeout: maybe\r\n'),
    ...internal,
  }),
  hedged('of the virtual host', [hang, reply(200)], {
    route: { hedge_policy: undefined },
    virtualHost: { hedge_policy: { hedge_on_per_try_timeout: true } },
  }),
  hedged('of the route before the virtual host', [hang, reply(200)], {
    hedge: { hedge_on_per_try_timeout: false },
    virtualHost: { hedge_policy: { hedge_on_per_try_timeout: true } },
  }),
  hedged('more requests at the start', [hang, reply(200)], {
    hedge: { initial_requests: 3, additional_request_chance: { numerator: 100 } },
  }),
  hedged('no place among the retries', [hang, reply(200)], {
    cluster: { circuit_breakers: { thresholds: [{ max_retries: 0 }] } },
    route: { timeout: '1s' },
  }),
  hedged('the retry tells its cause', [hang, reply(200)], { virtualHost: { include_is_timeout_retry_header: true } }),
  hedged('a retry without hedging tells its cause', [hang, reply(503), reply(200)], {
    hedge: { hedge_on_per_try_timeout: false },
    virtualHost: { include_is_timeout_retry_header: true },
  }),
];
