/** Priorities, health, panic, retries over hosts, subsets of time: which host a cluster gives, and what happens without one. */
import type { ParityCase, UpstreamBehaviour } from '../parity-case.ts';

const get = (path = '/', headers = '') => `GET ${path} HTTP/1.1\r\nHost: a.test\r\n${headers}\r\n`;
const ok: UpstreamBehaviour = { respond: 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok' };
const failing: UpstreamBehaviour = { respond: 'HTTP/1.1 503 X\r\ncontent-length: 2\r\n\r\nno' };
const quick = { base_interval: '0.001s', max_interval: '0.005s' };

/** Of the first (`$port`) or second (`$second_port`) upstream, or of a port where nothing listens. */
const endpoint = (port: '$port' | '$second_port' | 1, parts: object = {}) => ({
  endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } },
  ...parts,
});
const hosts = (...endpoints: object[]) => ({
  load_assignment: {
    cluster_name: '$lane',
    endpoints: endpoints.map(each => ('lb_endpoints' in each ? each : { lb_endpoints: [each] })),
  },
});
const retrying = (policy: object) => ({
  routes: [
    {
      match: { prefix: '/' },
      route: { cluster: '$lane', retry_policy: { retry_on: 'connect-failure,5xx', retry_back_off: quick, ...policy } },
    },
  ],
});
const previousHosts = {
  retry_host_predicate: [
    {
      name: 'envoy.retry_host_predicates.previous_hosts',
      typed_config: { '@type': 'type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate' },
    },
  ],
  host_selection_retry_max_attempts: 5,
};
const previousPriorities = {
  retry_priority: {
    name: 'envoy.retry_priorities.previous_priorities',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig',
      update_frequency: 1,
    },
  },
};
const panic = (value: number) => ({ common_lb_config: { healthy_panic_threshold: { value } } });
const unhealthy = { health_status: 'UNHEALTHY' };

export const hostSelection: readonly ParityCase[] = [
  {
    name: 'hosts: an unhealthy one is left out',
    send: [get('/1'), get('/2'), get('/3')],
    cluster: hosts({ lb_endpoints: [endpoint('$port', unhealthy), endpoint('$second_port')] }),
    secondUpstream: ok,
  },
  {
    name: 'hosts: a draining one is left out',
    send: [get('/1'), get('/2')],
    cluster: hosts({ lb_endpoints: [endpoint('$port', { health_status: 'DRAINING' }), endpoint('$second_port')] }),
    secondUpstream: ok,
  },
  {
    name: 'hosts: degraded ones serve where there is no other',
    send: get(),
    cluster: hosts({ lb_endpoints: [endpoint('$port', { health_status: 'DEGRADED' })] }),
  },
  { name: 'hosts: all unhealthy is panic', send: get(), cluster: hosts(endpoint('$port', unhealthy)) },
  {
    name: 'hosts: all unhealthy without panic',
    send: get(),
    cluster: { ...hosts(endpoint('$port', unhealthy)), ...panic(0) },
  },
  {
    name: 'hosts: all unhealthy fails the traffic in panic',
    send: get(),
    cluster: {
      ...hosts(endpoint('$port', unhealthy)),
      common_lb_config: { zone_aware_lb_config: { fail_traffic_on_panic: true } },
    },
  },
  {
    name: 'priorities: the first serves',
    send: [get('/1'), get('/2')],
    cluster: hosts({ priority: 0, lb_endpoints: [endpoint('$port')] }, { priority: 1, lb_endpoints: [endpoint('$second_port')] }),
    secondUpstream: ok,
  },
  {
    name: 'priorities: the second serves for an unhealthy first',
    send: [get('/1'), get('/2')],
    cluster: hosts(
      { priority: 0, lb_endpoints: [endpoint('$port', unhealthy)] },
      { priority: 1, lb_endpoints: [endpoint('$second_port')] },
    ),
    secondUpstream: ok,
  },
  {
    name: 'priorities: a gap is passed',
    send: get(),
    cluster: hosts({ priority: 1, lb_endpoints: [endpoint('$port')] }),
  },
  {
    name: 'priorities: a third that is the only healthy one',
    send: get(),
    cluster: {
      ...hosts(
        { priority: 0, lb_endpoints: [endpoint(1, unhealthy)] },
        { priority: 1, lb_endpoints: [endpoint(1, unhealthy)] },
        { priority: 2, lb_endpoints: [endpoint('$port')] },
      ),
    },
  },
  {
    name: 'priorities: a retry leaves those that were tried',
    send: get(),
    ...retrying({ ...previousPriorities, num_retries: 1 }),
    upstream: failing,
    cluster: hosts({ priority: 0, lb_endpoints: [endpoint('$port')] }, { priority: 1, lb_endpoints: [endpoint('$second_port')] }),
    secondUpstream: ok,
  },
  {
    name: 'localities: one without weight gets nothing',
    send: [get('/1'), get('/2'), get('/3')],
    cluster: {
      ...hosts(
        { locality: { zone: 'a' }, lb_endpoints: [endpoint('$port')] },
        { locality: { zone: 'b' }, load_balancing_weight: 1, lb_endpoints: [endpoint('$second_port')] },
      ),
      common_lb_config: { locality_weighted_lb_config: {} },
    },
    secondUpstream: ok,
  },
  {
    name: 'retry: goes to a host that was not tried',
    send: get(),
    ...retrying({ ...previousHosts, num_retries: 1 }),
    upstream: failing,
    cluster: {
      ...hosts({
        lb_endpoints: [endpoint('$port', { load_balancing_weight: 100 }), endpoint('$second_port', { load_balancing_weight: 1 })],
      }),
      lb_policy: 'ROUND_ROBIN',
    },
    secondUpstream: failing,
  },
  {
    name: 'retry: after a host where nothing listens',
    send: get(),
    ...retrying({ ...previousHosts, num_retries: 2 }),
    cluster: hosts({
      lb_endpoints: [endpoint(1, { load_balancing_weight: 100 }), endpoint('$port', { load_balancing_weight: 1 })],
    }),
  },
  {
    name: 'retry: the only host again',
    send: get(),
    ...retrying({ ...previousHosts, num_retries: 1 }),
    upstream: failing,
  },
  {
    name: 'outliers: consecutive errors eject the host',
    stats: /outlier_detection/,
    send: [get('/1'), get('/2'), get('/3')],
    upstream: failing,
    cluster: { ...panic(0), outlier_detection: { consecutive_5xx: 2, max_ejection_percent: 100, interval: '100s' } },
  },
  {
    name: 'outliers: errors of the gateway eject the host',
    stats: /outlier_detection/,
    send: [get('/1'), get('/2'), get('/3')],
    upstream: failing,
    cluster: {
      ...panic(0),
      outlier_detection: {
        consecutive_5xx: 100,
        consecutive_gateway_failure: 2,
        enforcing_consecutive_gateway_failure: 100,
        max_ejection_percent: 100,
        interval: '100s',
      },
    },
  },
  {
    name: 'outliers: a success starts the count anew',
    stats: /outlier_detection/,
    send: [get('/1'), get('/2'), get('/3'), get('/4')],
    upstream: [failing, ok, failing, ok],
    cluster: { ...panic(0), outlier_detection: { consecutive_5xx: 2, max_ejection_percent: 100, interval: '100s' } },
  },
  {
    name: 'outliers: failed connections count as 5xx',
    stats: /outlier_detection/,
    send: [get('/1'), get('/2'), get('/3')],
    upstream: { absent: true },
    cluster: { ...panic(0), outlier_detection: { consecutive_5xx: 2, max_ejection_percent: 100, interval: '100s' } },
  },
  {
    name: 'outliers: failed connections by themselves',
    stats: /outlier_detection/,
    send: [get('/1'), get('/2'), get('/3')],
    upstream: { absent: true },
    cluster: {
      ...panic(0),
      outlier_detection: {
        split_external_local_origin_errors: true,
        consecutive_local_origin_failure: 2,
        max_ejection_percent: 100,
        interval: '100s',
      },
    },
  },
  {
    name: 'outliers: failed connections by themselves are no 5xx',
    stats: /outlier_detection/,
    send: [get('/1'), get('/2'), get('/3')],
    upstream: { absent: true },
    cluster: {
      ...panic(0),
      outlier_detection: {
        split_external_local_origin_errors: true,
        consecutive_5xx: 1,
        max_ejection_percent: 100,
        interval: '100s',
      },
    },
  },
  {
    name: 'outliers: an ejected host returns',
    stats: /outlier_detection/,
    send: [get('/1'), get('/2')],
    upstream: [failing, ok],
    cluster: {
      outlier_detection: { consecutive_5xx: 1, max_ejection_percent: 100, interval: '0.05s', base_ejection_time: '0.05s' },
    },
  },
  {
    name: 'outliers: the only host is not ejected with a limit of ten percent',
    stats: /outlier_detection/,
    send: [get('/1'), get('/2')],
    upstream: failing,
    cluster: { ...panic(0), outlier_detection: { consecutive_5xx: 1, interval: '100s' } },
  },
  {
    name: 'outliers: the only host is ejected whatever the limit',
    stats: /outlier_detection/,
    send: [get('/1'), get('/2')],
    upstream: failing,
    cluster: { ...panic(0), outlier_detection: { consecutive_5xx: 1, interval: '100s', always_eject_one_host: true } },
  },
  {
    name: 'outliers: jitter of an ejection',
    stats: /outlier_detection/,
    send: [get('/1'), get('/2')],
    upstream: failing,
    cluster: {
      ...panic(0),
      outlier_detection: {
        consecutive_5xx: 1,
        max_ejection_percent: 100,
        interval: '0.05s',
        base_ejection_time: '100s',
        max_ejection_time_jitter: '1s',
      },
    },
  },
  {
    name: 'connections: one request each',
    send: [get('/1'), get('/2')],
    cluster: { max_requests_per_connection: 1 },
  },
  {
    name: 'connections: two requests each',
    send: [get('/1'), get('/2'), get('/3')],
    cluster: { max_requests_per_connection: 2 },
  },
  {
    name: 'connections: refused',
    send: get(),
    upstream: { absent: true },
  },
  {
    name: 'policies: random, ring hash, maglev of one host',
    send: get(),
    cluster: { lb_policy: 'RING_HASH' },
  },
  {
    name: 'priority high of the route has its own limits',
    send: get(),
    routes: [{ match: { prefix: '/' }, route: { cluster: '$lane', priority: 'HIGH' } }],
    cluster: { circuit_breakers: { thresholds: [{ priority: 'HIGH', max_requests: 0 }] } },
  },
  {
    name: 'retry budget: none left',
    send: get(),
    ...retrying({ num_retries: 1 }),
    upstream: [failing, ok],
    cluster: { circuit_breakers: { thresholds: [{ retry_budget: { budget_percent: { value: 0 }, min_retry_concurrency: 0 } }] } },
  },
  {
    name: 'retry budget: enough',
    send: get(),
    ...retrying({ num_retries: 1 }),
    upstream: [failing, ok],
    cluster: { circuit_breakers: { thresholds: [{ retry_budget: { budget_percent: { value: 100 } } }] } },
  },
];
