/** Cases of active health checks: how a host is checked, and what it answers, check by check. */

/** What a host does with one check; after the last one it answers none, so that everything comes to rest. */
export type CheckAnswer =
  | { readonly respond: string }
  /** Of a host that speaks HTTP/2: status, headers, and frames of gRPC. */
  | { readonly http2: { readonly [header: string]: string | number }; readonly data?: Buffer; readonly trailers?: object }
  | { readonly close: true }
  | { readonly hang: true };

export interface HealthCase {
  readonly name: string;
  /** Merged into the check. */
  readonly check: object;
  readonly answers: readonly CheckAnswer[];
  /** Merged into the cluster. */
  readonly cluster?: object;
  /** Merged into the endpoint. */
  readonly endpoint?: object;
  /** Nothing listens where the host should be checked. */
  readonly isAbsent?: true;
  /** How many checks the host sees; absent: one more than it answers. */
  readonly checks?: number;
  /** Statistics that differ on purpose. */
  readonly differs?: RegExp;
}

const respond = (status: number, headers = '', body = ''): CheckAnswer => ({
  respond: `HTTP/1.1 ${status} S\r\n${headers}content-length: ${body.length}\r\n\r\n${body}`,
});
const ok = respond(200);
const failed = respond(500);
const busy = respond(503);
const close: CheckAnswer = { close: true };
const hang: CheckAnswer = { hang: true };
const times = (count: number, answer: CheckAnswer): CheckAnswer[] => Array.from({ length: count }, () => answer);
const hex = (text: string) => ({ text: Buffer.from(text).toString('hex') });

const http = (parts: object = {}, others: object = {}) => ({ http_health_check: { path: '/healthz', ...parts }, ...others });
const retriable = http({ retriable_statuses: [{ start: 503, end: 504 }] }, { unhealthy_threshold: 3 });
const thresholds = { unhealthy_threshold: 3, healthy_threshold: 3 };

const states: readonly HealthCase[] = [
  { name: 'a host that answers is healthy', check: http(), answers: [ok] },
  { name: 'a host that fails its first check is not', check: http(), answers: [failed] },
  { name: 'a failure by an answer counts at once', check: http({}, thresholds), answers: [ok, failed] },
  { name: 'a retriable status counts up to the threshold', check: retriable, answers: [ok, busy, busy] },
  { name: 'and ends at it', check: retriable, answers: [ok, busy, busy, busy] },
  { name: 'a success begins the count anew', check: retriable, answers: [ok, busy, busy, ok, busy, busy] },
  { name: 'a failed host comes back at the threshold', check: http({}, thresholds), answers: [failed, ok, ok, ok] },
  { name: 'and not before', check: http({}, thresholds), answers: [failed, ok, ok] },
  { name: 'a closed connection counts up to the threshold', check: http({}, thresholds), answers: [ok, close, close] },
  { name: 'closed once too often', check: http({}, thresholds), answers: [ok, close, close, close] },
  {
    name: 'a host that asks to be left out is',
    check: http(),
    answers: [ok, respond(503, 'x-envoy-immediate-health-check-fail: true\r\n')],
  },
  {
    name: 'and comes back when it is well',
    check: http(),
    answers: [respond(503, 'x-envoy-immediate-health-check-fail: true\r\n'), ok],
  },
  { name: 'a degraded host', check: http(), answers: [respond(200, 'x-envoy-degraded: true\r\n')] },
  {
    name: 'no longer degraded',
    check: http(),
    differs: /^health_check.degraded/,
    answers: [respond(200, 'x-envoy-degraded: true\r\n'), ok],
  },
  {
    name: 'no answer in time',
    check: http({}, { timeout: '2s', no_traffic_interval: '60s', no_traffic_healthy_interval: '0.02s' }),
    answers: [ok, hang],
    checks: 2,
  },
  {
    name: 'nothing listens',
    check: http({}, { no_traffic_interval: '60s' }),
    answers: [],
    isAbsent: true,
    checks: 0,
  },
];

const requests: readonly HealthCase[] = [
  { name: 'expected statuses', check: http({ expected_statuses: [{ start: 201, end: 203 }] }), answers: [respond(202), ok] },
  {
    name: 'a body that holds what is expected',
    check: http({ receive: [hex('up'), hex('ok')] }),
    answers: [respond(200, '', 'all up and ok')],
  },
  { name: 'a body in another order', check: http({ receive: [hex('up'), hex('ok')] }), answers: [respond(200, '', 'ok and up')] },
  {
    name: 'only the beginning of a body is looked at',
    check: http({ receive: [hex('up')], response_buffer_size: 4 }),
    answers: [respond(200, '', 'it is up')],
  },
  { name: 'a request with a body', check: http({ method: 'POST', send: hex('hello') }), answers: [ok] },
  { name: 'HEAD', check: http({ method: 'HEAD' }), answers: [{ respond: 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n' }] },
  {
    name: 'headers',
    check: http({
      host: 'checked.test',
      request_headers_to_add: [{ header: { key: 'X-Check', value: 'yes' } }, { header: { key: 'user-agent', value: 'own' } }],
      request_headers_to_remove: ['user-agent'],
    }),
    answers: [ok],
  },
  {
    name: 'the host of the endpoint',
    check: http({ host: 'checked.test' }),
    endpoint: { health_check_config: { hostname: 'own.test' } },
    answers: [ok],
  },
  {
    name: 'the name of the service',
    check: http({ service_name_matcher: { prefix: 'loc' } }),
    answers: [respond(200, 'x-envoy-upstream-healthchecked-cluster: local\r\n'), ok],
  },
  { name: 'a connection for every check', check: http({}, { reuse_connection: false }), answers: [ok, ok, ok] },
  { name: 'a host that closes after its answer', check: http(), answers: [respond(200, 'connection: close\r\n'), ok] },
  { name: 'what is no HTTP', check: http(), answers: [ok, { respond: 'nonsense\r\n\r\n' }] },
  {
    name: 'a host that is not checked',
    check: http(),
    endpoint: { health_check_config: { disable_active_health_check: true } },
    answers: [],
    checks: 0,
  },
  {
    name: 'an ejected host that a check finds well',
    check: http(),
    cluster: { outlier_detection: { consecutive_5xx: 1, max_ejection_percent: 100, interval: '60s' } },
    answers: times(3, ok),
  },
];

const tcp = (parts: object, others: object = {}) => ({ tcp_health_check: parts, ...others });

const connections: readonly HealthCase[] = [
  {
    name: 'TCP: a connection is enough',
    check: tcp({}, { no_traffic_interval: '60s' }),
    answers: [],
    checks: 0,
  },
  { name: 'TCP: nothing listens', check: tcp({}, { no_traffic_interval: '60s' }), answers: [], isAbsent: true, checks: 0 },
  {
    name: 'TCP: what is expected',
    check: tcp({ send: hex('ping'), receive: [hex('pong')] }),
    answers: times(2, { respond: 'pong' }),
  },
  {
    name: 'TCP: something else',
    check: tcp({ send: hex('ping'), receive: [hex('pong')] }, { timeout: '2s', no_traffic_interval: '60s' }),
    answers: [{ respond: 'ping' }],
    checks: 1,
  },
  {
    name: 'TCP: closed',
    check: tcp({ send: hex('ping'), receive: [hex('pong')] }, thresholds),
    answers: [{ respond: 'pong' }, close, close, close],
  },
];

const frame = (message: number[]) => Buffer.from([0, 0, 0, 0, message.length, ...message]);
const grpcOk = { ':status': 200, 'content-type': 'application/grpc' };
const grpcAnswer = (status: number, code = '0'): CheckAnswer => ({
  http2: grpcOk,
  data: frame([8, status]),
  trailers: { 'grpc-status': code },
});
const grpc = (parts: object = {}) => ({ grpc_health_check: parts });
const http2Cluster = { http2_protocol_options: {} };

const streams: readonly HealthCase[] = [
  {
    name: 'HTTP/2',
    check: http({ codec_client_type: 'HTTP2' }),
    answers: [{ http2: { ':status': 200 } }, { http2: { ':status': 500 } }],
  },
  { name: 'gRPC: serving', check: grpc(), cluster: http2Cluster, answers: [grpcAnswer(1)] },
  {
    name: 'gRPC: of a service',
    check: grpc({
      service_name: 'shop',
      authority: 'checked.test',
      initial_metadata: [{ header: { key: 'x-check', value: 'yes' } }],
    }),
    cluster: http2Cluster,
    answers: [grpcAnswer(1), grpcAnswer(2)],
  },
  { name: 'gRPC: an error', check: grpc(), cluster: http2Cluster, answers: [grpcAnswer(1), grpcAnswer(1, '14')] },
  { name: 'gRPC: another status', check: grpc(), cluster: http2Cluster, answers: [grpcAnswer(1), { http2: { ':status': 503 } }] },
  {
    name: 'gRPC: not implemented',
    check: grpc(),
    cluster: http2Cluster,
    answers: [{ http2: { ...grpcOk, 'grpc-status': '12' } }, grpcAnswer(1)],
  },
  {
    name: 'gRPC: no gRPC',
    check: grpc(),
    cluster: http2Cluster,
    answers: [{ http2: { ':status': 200, 'content-type': 'text/plain' } }],
  },
];

export const healthCases: readonly HealthCase[] = [...states, ...requests, ...connections, ...streams];
