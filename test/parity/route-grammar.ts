/** Random route configurations without upstreams, and requests that come near their matches. */
import type { Random } from '../support/random.ts';

const paths = ['/', '/a', '/A', '/a/', '/a/b', '/ab', '/a%20b', '/a//b', '/a.b', '/%41', '/a/../b', '/c/d/e', '/a;p=1', '/x=1'];
const targets = [
  ...paths,
  ...['/b?x=1', '/a/b?x=1&y=2', '/a?x', '/a?x=', '/a?X=1', '/a?y=2&x=1', '/a?x=1&x=2', '/a#f', '/a?x=%31', '/é', '/a%2fb'],
  ...[
    '/a;p/b',
    '/a/b;p=1;q/c?x;y=1',
    '/ab;?x=1',
    '/;a',
    '/a%2Fb/../c',
    '/a/./b',
    '/a/%2e%2e/b',
    '//a',
    '/a\\b',
    '/a%5cb',
    '/a%00',
    '/a/b/c',
    '/abc',
  ],
];
const domains = [
  'a.com',
  'A.com',
  'b.a.com',
  'a.com:80',
  'x.org',
  '*.a.com',
  'a.*',
  'foo-bar.com',
  '[::1]',
  'c.b.a.com',
  'a.com.',
  'a',
];
const hosts = [...domains.filter(domain => !domain.includes('*')), 'A.COM:8080', 'q.a.com', 'a.net', 'zzz', 'x.org:81'];
const headerNames = ['x-a', 'x-b', 'cookie', 'user-agent', 'accept', 'x-num'];
const matchedNames = [...headerNames, ':method', ':path', ':authority'];
const values = ['1', 'a', 'A', 'abc', 'a,b', '', '10', '-5', '007', ' a', '1.5', '99999999999999999999'];
const patterns = ['a', 'a.*', '[0-9]+', '(a|b)c?', '^a$', '.', '(?i)A', '\\d+', 'a{2}', '[^/]+', '/.*', '/a/[a-z]+', '.*x.*'];

/** A few of the object's fields, each with its own probability. */
function some(random: Random, fields: Readonly<Record<string, readonly [number, () => unknown]>>): Record<string, unknown> {
  const chosen: Record<string, unknown> = {};
  for (const [name, [probability, make]] of Object.entries(fields)) if (random.chance(probability)) chosen[name] = make();
  return chosen;
}

function makeStringMatch(random: Random): object {
  const kind = random.pick(['exact', 'prefix', 'suffix', 'contains', 'safe_regex']);
  if (kind === 'safe_regex') return { safe_regex: { regex: random.pick(patterns) } };
  const value = random.pick(kind === 'exact' ? values : values.filter(text => text.trim() !== ''));
  return { [kind]: value, ...some(random, { ignore_case: [0.3, () => true] }) };
}

function makeHeaderMatch(random: Random): object {
  const kinds = [
    () => ({ present_match: random.chance(0.7) }),
    () => ({ range_match: { start: random.pick([-10, 0, 1, 5]), end: random.pick([2, 8, 11, 100]) } }),
    () => ({ string_match: makeStringMatch(random) }),
    () => ({ string_match: makeStringMatch(random) }),
  ];
  const flags = { invert_match: [0.25, () => true], treat_missing_header_as_empty: [0.2, () => true] } as const;
  return { name: random.pick(matchedNames), ...random.pick(kinds)(), ...some(random, flags) };
}

function makeQueryMatch(random: Random): object {
  const what = random.chance(0.4) ? { present_match: random.chance(0.7) } : { string_match: makeStringMatch(random) };
  return { name: random.pick(['x', 'X', 'y', 'z']), ...what };
}

function makeMatch(random: Random): object {
  const kind = random.pick(['prefix', 'path', 'safe_regex', 'path_separated_prefix']);
  const value = {
    prefix: () => random.pick(paths),
    path: () => random.pick(paths),
    safe_regex: () => ({ regex: random.pick(patterns) }),
    path_separated_prefix: () => random.pick(['/a', '/a/b', '/A', '/a.b', '/c']),
  }[kind] as () => unknown;
  const list = (make: (random: Random) => object) => () => Array.from({ length: 1 + random.below(2) }, () => make(random));
  return {
    [kind]: value(),
    ...some(random, {
      case_sensitive: [kind === 'safe_regex' ? 0 : 0.25, () => false],
      headers: [0.35, list(makeHeaderMatch)],
      query_parameters: [0.25, list(makeQueryMatch)],
      grpc: [0.05, () => ({})],
    }),
  };
}

function makeRedirect(random: Random, match: object): object {
  const paths: readonly object[] = [
    {},
    { path_redirect: random.pick(['/new', '/new?q=1']) },
    'safe_regex' in match ? {} : { prefix_rewrite: random.pick(['/new', '/', '/n/']) },
    {
      regex_rewrite: {
        pattern: { regex: random.pick(['a', '/(.*)', 'b+']) },
        substitution: random.pick(['X', '/\\1', '\\0y', '\\\\']),
      },
    },
  ];
  const schemes: readonly object[] = [{}, { https_redirect: true }, { scheme_redirect: 'ftp' }];
  return {
    ...random.pick(paths),
    ...random.pick(schemes),
    ...some(random, {
      host_redirect: [0.4, () => random.pick(['h.com', 'H.org:81'])],
      port_redirect: [0.3, () => random.pick([80, 443, 8080])],
      strip_query: [0.3, () => true],
      response_code: [0.4, () => random.pick(['FOUND', 'SEE_OTHER', 'TEMPORARY_REDIRECT', 'PERMANENT_REDIRECT'])],
    }),
  };
}

function makeResponseHeader(random: Random): object {
  const formats = [
    '%REQ(:path)%',
    '%REQ(x-envoy-original-path)%',
    '%REQ(x-a)%',
    '%RESPONSE_CODE%',
    '%ROUTE_NAME%-%PROTOCOL%',
    '100%%',
    '%REQ(x-a?x-b)%',
  ];
  const actions = ['APPEND_IF_EXISTS_OR_ADD', 'ADD_IF_ABSENT', 'OVERWRITE_IF_EXISTS_OR_ADD', 'OVERWRITE_IF_EXISTS'];
  return { header: { key: 'x-r', value: random.pick(formats) }, append_action: random.pick(actions) };
}

function makeDirectResponse(random: Random, body: string): object {
  const status = random.chance(0.8) ? 200 : random.pick([201, 202, 302, 400, 404, 503]);
  return { status, ...some(random, { body: [0.9, () => ({ inline_string: body })] }) };
}

/** To nobody: what the request would have been is seen where the local reply tells it. */
function makeForward(random: Random, match: object): object {
  const rewrites: readonly object[] = [
    {},
    'safe_regex' in match ? {} : { prefix_rewrite: random.pick(['/new', '/', '/n/', 'n']) },
    {
      regex_rewrite: { pattern: { regex: random.pick(['a', '/(.*)', 'b+']) }, substitution: random.pick(['X', '/\\1', '\\0y']) },
    },
    { path_rewrite: random.pick(['/f', '/f/%REQ(x-a)%', '%REQ(x-none)%', '/f?%REQ(:authority)%']) },
  ];
  const hosts: readonly object[] = [
    {},
    { host_rewrite_literal: 'h.com' },
    { host_rewrite_header: 'x-a' },
    { host_rewrite_path_regex: { pattern: { regex: '^/([^/]*).*' }, substitution: '\\1.com' } },
  ];
  return {
    cluster: '$lane',
    ...random.pick(rewrites),
    ...random.pick(hosts),
    ...some(random, { append_x_forwarded_host: [0.3, () => true] }),
  };
}

function makeRoute(random: Random, name: string): object {
  const match = makeMatch(random);
  const actions = [
    () => ({ direct_response: makeDirectResponse(random, name) }),
    () => ({ direct_response: makeDirectResponse(random, name) }),
    () => ({ redirect: makeRedirect(random, match) }),
    () => ({ route: makeForward(random, match) }),
  ];
  const action = random.pick(actions)();
  return { match, name, ...action, ...some(random, { response_headers_to_add: [0.15, () => [makeResponseHeader(random)]] }) };
}

/** A route configuration; every route answers with its own name. */
export function makeRouteConfig(random: Random, name: string): object {
  const free = domains.map(domain => ({ domain, at: random.next() })).sort((one, other) => one.at - other.at);
  const taken = new Set<string>();
  const takeDomains = (count: number): string[] =>
    free
      .splice(0, count)
      .map(({ domain }) => domain)
      .filter(domain => !taken.has(domain.toLowerCase()) && taken.add(domain.toLowerCase()));
  const count = 1 + random.below(4);
  const hosts = Array.from({ length: count }, (_, index) => {
    const rest = index === count - 1 && random.chance(0.7) ? ['*'] : [`unused-${index}.test`];
    return {
      name: `host-${index}`,
      domains: [...takeDomains(1 + random.below(3)), ...rest],
      routes: Array.from({ length: 1 + random.below(7) }, (_, route) => makeRoute(random, `${name}-${index}-${route}`)),
      ...some(random, { require_tls: [0.1, () => random.pick(['ALL', 'EXTERNAL_ONLY'])] }),
    };
  });
  const flags = {
    ignore_port_in_host_matching: [0.2, () => true],
    ignore_path_parameters_in_path_matching: [0.3, () => true],
  } as const;
  return { name, virtual_hosts: hosts, ...some(random, flags) };
}

const told =
  '%RESPONSE_CODE% %REQ(:path)% %REQ(:authority)% %REQ(x-envoy-original-path)% %REQ(x-forwarded-host)% %LOCAL_REPLY_BODY%';

function makeBodyFormat(random: Random): object {
  const formats: readonly object[] = [
    { text_format_source: { inline_string: told } },
    { text_format_source: { inline_string: `${told}\n` }, content_type: 'text/html' },
    { json_format: { told, code: '%RESPONSE_CODE%', list: ['%REQ(x-a)%', 1], none: '%REQ(x-none)%', flags: '%RESPONSE_FLAGS%' } },
  ];
  return { ...random.pick(formats), ...some(random, { omit_empty_values: [0.3, () => true] }) };
}

function makeReplyFilter(random: Random, depth = 0): object {
  const filters = [
    () => ({
      status_code_filter: {
        comparison: {
          op: random.pick(['EQ', 'GE', 'LE', 'NE']),
          value: { default_value: random.pick([200, 301, 400, 404, 503]), runtime_key: 'none' },
        },
      },
    }),
    () => ({ response_flag_filter: { flags: random.pick([[], ['NR'], ['UF', 'NR'], ['DPE']]) } }),
    () => ({ header_filter: { header: makeHeaderMatch(random) } }),
  ];
  if (depth > 1 || random.chance(0.6)) return random.pick(filters)();
  const kind = random.pick(['and_filter', 'or_filter']);
  return { [kind]: { filters: [makeReplyFilter(random, depth + 1), makeReplyFilter(random, depth + 1)] } };
}

function makeReplyMapper(random: Random): object {
  return {
    filter: makeReplyFilter(random),
    ...some(random, {
      status_code: [0.4, () => random.pick([200, 404, 418, 503])],
      body: [0.4, () => ({ inline_string: random.pick(['mapped', '', 'é %']) })],
      body_format_override: [0.3, () => makeBodyFormat(random)],
      headers_to_add: [0.3, () => [makeResponseHeader(random)]],
    }),
  };
}

function makeLocalReplies(random: Random): object {
  return {
    mappers: Array.from({ length: random.below(3) }, () => makeReplyMapper(random)),
    ...some(random, { body_format: [0.7, () => makeBodyFormat(random)] }),
  };
}

/** Settings of the connection manager that change what is matched, and what it answers itself. */
export function makeManagerSettings(random: Random): object {
  const slashes = ['KEEP_UNCHANGED', 'REJECT_REQUEST', 'UNESCAPE_AND_REDIRECT', 'UNESCAPE_AND_FORWARD'];
  const ports: readonly object[] = [{}, {}, { strip_any_host_port: true }, { strip_matching_host_port: true }];
  return {
    ...random.pick(ports),
    ...some(random, {
      normalize_path: [0.6, () => true],
      merge_slashes: [0.4, () => true],
      path_with_escaped_slashes_action: [0.3, () => random.pick(slashes)],
      strip_trailing_host_dot: [0.2, () => true],
      use_remote_address: [0.3, () => true],
      local_reply_config: [0.5, () => makeLocalReplies(random)],
    }),
  };
}

/** A request without a body, as bytes in latin1. */
export function makeRequest(random: Random): string {
  const lines = Array.from({ length: random.below(4) }, () => `${random.pick(headerNames)}: ${random.pick(values)}`);
  if (random.chance(0.1)) lines.push('content-type: application/grpc');
  if (random.chance(0.1)) lines.push('x-forwarded-proto: https');
  const method = random.pick(['GET', 'GET', 'GET', 'POST', 'HEAD', 'OPTIONS']);
  const head = `${method} ${random.pick(targets)} HTTP/1.1\r\nhost: ${random.pick(hosts)}\r\n${lines.map(line => `${line}\r\n`).join('')}\r\n`;
  return Buffer.from(head).toString('latin1');
}
