/** Local rate limits: buckets of filter, route and descriptor; none refills while a case runs. */
import type { ParityCase } from '../parity-case.ts';

const v3 = (name: string) => `type.googleapis.com/envoy.extensions.filters.${name}.v3.LocalRateLimit`;
const get = (path = '/', headers = '') => `GET ${path} HTTP/1.1\r\nHost: a.test\r\n${headers}\r\n`;
const three = [get('/1'), get('/2'), get('/3')];
const always = { default_value: { numerator: 100 }, runtime_key: 'none' };
const never = { default_value: { numerator: 0 } };
const bucket = (max_tokens: number, fill_interval = '600s', tokens_per_fill = 1) => ({
  max_tokens,
  tokens_per_fill,
  fill_interval,
});
const add = (key: string, value: string, append_action = 'OVERWRITE_IF_EXISTS_OR_ADD') => ({
  header: { key, value },
  append_action,
});
const entries = (...pairs: [string, string][]) => pairs.map(([key, value]) => ({ key, value }));
const config = (changes: object) => ({
  '@type': v3('http.local_ratelimit'),
  stat_prefix: '$lane',
  token_bucket: bucket(2),
  filter_enabled: always,
  filter_enforced: always,
  ...changes,
});
const name = 'envoy.filters.http.local_ratelimit';

function limited(title: string, changes: object, parts: Partial<ParityCase> = {}): ParityCase {
  const filters = [{ name, typed_config: config(changes) }];
  return { name: `rate limit: ${title}`, send: three, filters, stats: /rate_limit|downstream_rq_\dxx/, ...parts };
}

/** A bucket for one descriptor, which `actions` make; `send` asks three times. */
function described(title: string, actions: object[], pairs: [string, string][], parts: Partial<ParityCase> = {}): ParityCase {
  const route = { match: { prefix: '/' }, route: { cluster: '$lane', rate_limits: [{ actions }] } };
  const descriptors = [{ entries: entries(...pairs), token_bucket: bucket(1) }];
  return limited(`descriptor of ${title}`, { token_bucket: bucket(100), descriptors }, { routes: [route], ...parts });
}

const a = [{ generic_key: { descriptor_value: 'a' } }];
const b = [{ generic_key: { descriptor_key: 'k', descriptor_value: 'b' } }];
const ofA = { entries: entries(['generic_key', 'a']), token_bucket: bucket(1) };
const ofB = { entries: entries(['k', 'b']), token_bucket: bucket(2) };
const levels = (route: object, virtualHost: object = {}) => ({
  routes: [{ match: { prefix: '/' }, route: { cluster: '$lane', ...route } }],
  virtualHost,
});
const header = (descriptor_key: string, skip_if_absent = false) => ({
  request_headers: { header_name: 'x-user', descriptor_key, skip_if_absent },
});

export const rateLimits: readonly ParityCase[] = [
  limited('two of three', {}),
  limited('nothing enabled', { filter_enabled: undefined }),
  limited('enabled for none', { filter_enabled: never }),
  limited('not enforced', {
    filter_enforced: undefined,
    request_headers_to_add_when_not_enforced: [add('x-over', '%REQ(:path)%')],
  }),
  limited('status', { status: { code: 'ServiceUnavailable' } }),
  limited('status that is no error', { status: { code: 'Found' } }),
  limited('response headers', {
    response_headers_to_add: [add('x-limited', 'true'), add('x-code', '%RESPONSE_CODE% %REQ(:path)%', 'APPEND_IF_EXISTS_OR_ADD')],
  }),
  limited('headers of the limit', { enable_x_ratelimit_headers: 'DRAFT_VERSION_03', token_bucket: bucket(2, '600s', 2) }),
  limited('headers of a slow limit', { enable_x_ratelimit_headers: 'DRAFT_VERSION_03', token_bucket: bucket(1, '6000s') }),
  limited('retry after', { enable_retry_after_header: true }),
  limited('retry after, with another status', { enable_retry_after_header: true, status: { code: 'ServiceUnavailable' } }),
  limited('retry after of the configuration', {
    enable_retry_after_header: true,
    response_headers_to_add: [add('retry-after', '7')],
  }),
  limited('gRPC', {}, { send: three.map(text => text.replace(/\r\n\r\n$/, '\r\ncontent-type: application/grpc\r\n\r\n')) }),
  limited(
    'gRPC, resource exhausted',
    { rate_limited_as_resource_exhausted: true },
    { send: three.map(text => text.replace(/\r\n\r\n$/, '\r\ncontent-type: application/grpc\r\n\r\n')) },
  ),
  limited('no bucket', { token_bucket: undefined }),
  limited(
    'of the route',
    {},
    {
      filters: [{ name, typed_config: { '@type': v3('http.local_ratelimit'), stat_prefix: '$lane' } }],
      routes: [
        { match: { path: '/2' }, route: { cluster: '$lane' } },
        {
          match: { prefix: '/' },
          route: { cluster: '$lane' },
          typed_per_filter_config: { [name]: config({ stat_prefix: '$lane.route', token_bucket: bucket(1) }) },
        },
      ],
    },
  ),
  limited(
    'of the virtual host, for all its routes',
    { token_bucket: bucket(1) },
    {
      virtualHost: { typed_per_filter_config: { [name]: config({ token_bucket: bucket(2) }) } },
      routes: [
        { match: { path: '/2' }, route: { cluster: '$lane' } },
        { match: { prefix: '/' }, route: { cluster: '$lane' } },
      ],
    },
  ),
  limited(
    'of two routes of the same shape',
    { token_bucket: bucket(1) },
    {
      routes: ['/1', '/'].map(prefix => ({
        match: { prefix },
        route: { cluster: '$lane' },
        typed_per_filter_config: { [name]: config({ token_bucket: bucket(1) }) },
      })),
    },
  ),
  limited('of each connection', { local_rate_limit_per_downstream_connection: true }),
  limited('direct response', {}, { routes: [{ match: { prefix: '/' }, direct_response: { status: 200 } }] }),
  limited('no route', {}, { routes: [{ match: { path: '/other' }, route: { cluster: '$lane' } }] }),
  described('a generic key', a, [['generic_key', 'a']]),
  described('a generic key of another value', a, [['generic_key', 'b']]),
  described(
    'a generic key, literally',
    [{ generic_key: { descriptor_value: '%REQ(:path)%' } }],
    [['generic_key', '%REQ(:path)%']],
  ),
  described(
    'clusters',
    [{ source_cluster: {} }, { destination_cluster: {} }],
    [
      ['source_cluster', 'parity'],
      ['destination_cluster', '$lane'],
    ],
  ),
  described('the address', [{ remote_address: {} }], [['remote_address', '127.0.0.1']]),
  described('the network', [{ masked_remote_address: { v4_prefix_mask_len: 8 } }], [['masked_remote_address', '127.0.0.0/8']]),
  described('the network of one address', [{ masked_remote_address: {} }], [['masked_remote_address', '127.0.0.1/32']]),
  described('a header', [header('user')], [['user', 'ann']], {
    send: [get('/', 'x-user: ann\r\n'), get('/', 'x-user: bob\r\n'), get(), get('/', 'x-user: ann\r\n')],
  }),
  described('a header that may be absent', [...a, header('user', true)], [['generic_key', 'a']], {
    send: [get('/', 'x-user: ann\r\n'), get(), get()],
  }),
  described('a repeated header', [header('user')], [['user', 'ann']], {
    send: [get('/', 'x-user: ann\r\nx-user: bob\r\n'), get('/', 'x-user: ann\r\n')],
  }),
  described(
    'an empty header',
    [...a, header('user')],
    [
      ['generic_key', 'a'],
      ['user', '-'],
    ],
    {
      send: [get('/', 'x-user:\r\n'), get('/', 'x-user: -\r\n'), get('/', 'x-user: -\r\n')],
    },
  ),
  described('the path', [{ request_headers: { header_name: ':path', descriptor_key: 'path' } }], [['path', '/1']], {
    send: [get('/1'), get('/2'), get('/1')],
  }),
  described(
    'headers that match',
    [{ header_value_match: { descriptor_value: 'v', headers: [{ name: ':path', string_match: { prefix: '/1' } }] } }],
    [['header_match', 'v']],
    { send: [get('/1'), get('/2'), get('/2'), get('/11')] },
  ),
  described(
    'headers that do not match',
    [
      {
        header_value_match: {
          descriptor_key: 'k',
          descriptor_value: 'v',
          expect_match: false,
          headers: [{ name: ':path', string_match: { prefix: '/1' } }],
        },
      },
    ],
    [['k', 'v']],
    { send: [get('/1'), get('/2'), get('/1'), get('/2')] },
  ),
  described(
    'query parameters',
    [{ query_parameter_value_match: { descriptor_value: 'v', query_parameters: [{ name: 'q', string_match: { exact: '1' } }] } }],
    [['query_match', 'v']],
    { send: [get('/?q=1'), get('/?q=2'), get('/?q=1&x')] },
  ),
  described(
    'metadata of the route',
    [{ metadata: { descriptor_key: 'm', metadata_key: { key: 'ns', path: [{ key: 'p' }] }, source: 'ROUTE_ENTRY' } }],
    [['m', 'v']],
    {
      routes: [
        {
          match: { prefix: '/' },
          metadata: { filter_metadata: { ns: { p: 'v' } } },
          route: {
            cluster: '$lane',
            rate_limits: [
              {
                actions: [
                  { metadata: { descriptor_key: 'm', metadata_key: { key: 'ns', path: [{ key: 'p' }] }, source: 'ROUTE_ENTRY' } },
                ],
              },
            ],
          },
        },
      ],
    },
  ),
  described(
    'metadata by default',
    [{ metadata: { descriptor_key: 'm', metadata_key: { key: 'ns', path: [{ key: 'p' }] }, default_value: 'd' } }],
    [['m', 'd']],
  ),
  limited(
    'descriptors of the virtual host',
    { token_bucket: bucket(100), descriptors: [ofA, ofB] },
    levels({}, { rate_limits: [{ actions: a }] }),
  ),
  limited(
    'descriptors of the route instead of the virtual host',
    { token_bucket: bucket(100), descriptors: [ofA, ofB] },
    levels({ rate_limits: [{ actions: b }] }, { rate_limits: [{ actions: a }] }),
  ),
  limited(
    'descriptors of both',
    { token_bucket: bucket(100), descriptors: [ofA, ofB] },
    levels({ rate_limits: [{ actions: b }], include_vh_rate_limits: true }, { rate_limits: [{ actions: a }] }),
  ),
  limited(
    'descriptors of both, as the filter says',
    { token_bucket: bucket(100), descriptors: [ofA, ofB], vh_rate_limits: 'INCLUDE' },
    levels({ rate_limits: [{ actions: b }] }, { rate_limits: [{ actions: a }] }),
  ),
  limited(
    'descriptors of the virtual host ignored',
    { token_bucket: bucket(100), descriptors: [ofA, ofB], vh_rate_limits: 'IGNORE' },
    levels({}, { rate_limits: [{ actions: a }] }),
  ),
  limited(
    'descriptors of another stage',
    { token_bucket: bucket(100), descriptors: [ofA], stage: 1 },
    levels({ rate_limits: [{ actions: a }] }),
  ),
  limited(
    'descriptors of the same stage',
    { token_bucket: bucket(100), descriptors: [ofA], stage: 3 },
    levels({ rate_limits: [{ actions: a, stage: 3 }] }),
  ),
  limited(
    'descriptors that runtime may disable',
    { token_bucket: bucket(100), descriptors: [ofA] },
    levels({ rate_limits: [{ actions: a, disable_key: 'x' }] }),
  ),
  limited('descriptors of the filter', { token_bucket: bucket(100), descriptors: [ofA], rate_limits: [{ actions: a }] }),
  limited(
    'descriptors of the filter before those of the route',
    { token_bucket: bucket(100), descriptors: [ofA, ofB], rate_limits: [{ actions: a }] },
    levels({ rate_limits: [{ actions: b }] }),
  ),
  limited('descriptor and default', { token_bucket: bucket(1), descriptors: [ofB] }, levels({ rate_limits: [{ actions: b }] })),
  limited(
    'descriptor without the default',
    { token_bucket: bucket(1), descriptors: [ofB], always_consume_default_token_bucket: false },
    levels({ rate_limits: [{ actions: b }] }),
  ),
  limited(
    'descriptor and default, with headers',
    { token_bucket: bucket(50), descriptors: [ofB], enable_x_ratelimit_headers: 'DRAFT_VERSION_03' },
    levels({ rate_limits: [{ actions: b }] }),
  ),
  limited(
    'descriptor of a shadow',
    { token_bucket: bucket(100), descriptors: [{ ...ofA, shadow_mode: true }], enable_x_ratelimit_headers: 'DRAFT_VERSION_03' },
    levels({ rate_limits: [{ actions: a }] }),
  ),
  limited(
    'descriptor of a shadow, not enforced',
    {
      token_bucket: bucket(100),
      descriptors: [ofB, { ...ofA, shadow_mode: true }],
      filter_enforced: undefined,
      request_headers_to_add_when_not_enforced: [add('x-over', 'yes')],
    },
    levels({ rate_limits: [{ actions: a }, { actions: b }] }),
  ),
  limited(
    'descriptor of a shadow beside another',
    { token_bucket: bucket(100), descriptors: [ofB, { ...ofA, shadow_mode: true }] },
    { ...levels({ rate_limits: [{ actions: a }, { actions: b }] }), send: [...three, get('/4')] },
  ),
  limited(
    'descriptor of a shadow before the default',
    { token_bucket: bucket(2), descriptors: [{ ...ofA, shadow_mode: true }], enable_x_ratelimit_headers: 'DRAFT_VERSION_03' },
    levels({ rate_limits: [{ actions: a }] }),
  ),
  {
    name: 'rate limit: a connection',
    send: get(),
    stats: /rate_limit/,
    filterChain: {
      filters: [
        {
          name: 'limit',
          typed_config: { '@type': v3('network.local_ratelimit'), stat_prefix: '$lane', token_bucket: bucket(1) },
        },
        {
          name: 'limit again',
          typed_config: { '@type': v3('network.local_ratelimit'), stat_prefix: '$lane.again', token_bucket: bucket(1) },
        },
        {
          name: 'tcp',
          typed_config: {
            '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
            stat_prefix: '$lane',
            cluster: '$lane',
          },
        },
      ],
    },
  },
  {
    name: 'rate limit: a connection beyond a shared bucket',
    // Bytes that nobody reads would turn the end into a reset, if they came in time.
    send: '',
    stats: /rate_limit/,
    filterChain: {
      filters: [
        ...['one', 'two'].map(limit => ({
          name: limit,
          typed_config: {
            '@type': v3('network.local_ratelimit'),
            stat_prefix: `$lane.${limit}`,
            token_bucket: bucket(1),
            share_key: '$lane',
          },
        })),
        {
          name: 'tcp',
          typed_config: {
            '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
            stat_prefix: '$lane',
            cluster: '$lane',
          },
        },
      ],
    },
  },
];
