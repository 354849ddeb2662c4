/** VirtualServices: what a client gets through this image, and what the server sees, is what they are through Envoy. */
import t from 'tap';
import { apply, getObject } from '../cluster/kubectl.ts';
import { deploy, makeNamespace, podIp, requireMode } from '../fixtures/mesh.ts';
import { PodNetwork, type Request } from '../fixtures/pod-network.ts';
import { type App, istioObject, service } from '../fixtures/pods.ts';
import { subject } from '../fixtures/subject.ts';
import { compareTwins, type Scenario, type Twins } from '../fixtures/twin-scenarios.ts';

t.comment(`mode: ${requireMode()}, subject: ${subject}`);
const namespace = makeNamespace(t, 'mesh-routing');
const apps: App[] = [
  { name: 'own', sidecar: subject },
  { name: 'twin', sidecar: 'envoy' },
  { name: 'server-v1', label: 'server', version: 'v1', sidecar: subject },
  { name: 'server-v2', label: 'server', version: 'v2', sidecar: 'envoy' },
];
deploy(namespace, apps, [
  service(namespace, 'server'),
  istioObject('networking', 'DestinationRule', namespace, 'server', {
    host: 'server',
    subsets: ['v1', 'v2'].map(version => ({ name: version, labels: { version } })),
  }),
]);

const address: string = getObject('-n', namespace, 'service', 'server').spec.clusterIP;
const twins: Twins = {
  own: PodNetwork.enter(t, namespace, 'own'),
  twin: PodNetwork.enter(t, namespace, 'twin'),
  names: new Map(apps.map(({ name }) => [podIp(namespace, name), `<${name}>`])),
};

const to = (subset: string, more: object = {}): object => ({
  destination: { host: 'server', subset, port: { number: 80 } },
  ...more,
});
const v1 = [to('v1')];
const v2 = [to('v2')];

const served = (version: string): string[] => ['status 200', `ServiceVersion=${version}`];

/** A VirtualService for a host of its own, and what is asked there. */
type Group = {
  readonly host: string;
  readonly http: readonly object[];
  readonly asked: readonly Asked[];
};

type Asked = Omit<Scenario, 'command'> & { readonly request?: Partial<Request> };

const matches: Group = {
  host: 'matches.test',
  http: [
    { match: [{ uri: { exact: '/exact' } }], route: v2 },
    { match: [{ uri: { prefix: '/prefix' } }], route: v2 },
    { match: [{ uri: { regex: '/re[a-z]+/[0-9]{2}' } }], route: v2 },
    { match: [{ uri: { exact: '/CASE' }, ignoreUriCase: true }], route: v2 },
    { match: [{ headers: { 'x-exact': { exact: 'two' } } }], route: v2 },
    { match: [{ headers: { 'x-prefix': { prefix: 'tw' } } }], route: v2 },
    { match: [{ headers: { 'x-regex': { regex: 't.o' } } }], route: v2 },
    { match: [{ headers: { 'x-present': {} } }], route: v2 },
    // Every character that a name may have.
    { match: [{ headers: { "a!#$%&'*+-.^_`|~z": { exact: 'why' } } }], route: v2 },
    { match: [{ uri: { prefix: '/without' }, withoutHeaders: { 'x-absent': {} } }], route: v2 },
    { match: [{ uri: { prefix: '/notjason' }, withoutHeaders: { 'end-user': { exact: 'jason' } } }], route: v2 },
    { match: [{ queryParams: { exact: { exact: 'two' } } }], route: v2 },
    { match: [{ queryParams: { regex: { regex: '[0-9]+' } } }], route: v2 },
    { match: [{ queryParams: { prefix: { prefix: 'tw' } } }], route: v2 },
    { match: [{ method: { exact: 'PUT' } }], route: v2 },
    { match: [{ method: { regex: 'P.TCH' } }], route: v2 },
    { match: [{ uri: { prefix: '/port' }, port: 80 }], route: v2 },
    { match: [{ uri: { prefix: '/label' }, sourceLabels: { app: 'nobody' } }], route: v2 },
    { match: [{ uri: { prefix: '/both' }, headers: { 'x-both': { exact: 'yes' } } }], route: v2 },
    { match: [{ headers: { ':method': { exact: 'DELETE' } } }], route: v2 },
    { match: [{ headers: { ':authority': { prefix: 'matches.test:80' } }, uri: { prefix: '/authority' } }], route: v2 },
    { route: v1 },
  ],
  asked: [
    ...['/exact', '/prefix', '/prefixed/more', '/rest/42', '/case', '/CaSe', '/?exact=two', '/?regex=12', '/?prefix=twice'].map(
      path => ({ name: `match: ${path}`, request: { path }, has: served('v2') }),
    ),
    ...[
      '/exact/',
      '/Exact',
      '/pre',
      '/rest/421',
      '/rest/4',
      '/?exact=twofold',
      '/?regex=a1',
      '/?regex',
      '/label',
      '/?prefix=on',
    ].map(path => ({ name: `no match: ${path}`, request: { path }, has: served('v1') })),
    ...[
      ['x-exact', 'two', 'v2'],
      ['x-exact', 'Two', 'v1'],
      ['x-prefix', 'twelve', 'v2'],
      ['x-prefix', 'atwo', 'v1'],
      ['x-regex', 'tao', 'v2'],
      ['x-regex', 'taoo', 'v1'],
      ['x-present', '', 'v2'],
      ['x-present', 'a', 'v2'],
      ["a!#$%&'*+-.^_`|~z", 'why', 'v2'],
    ].map(([name, value, version]) => ({
      name: `${name}: ${value}`,
      request: { headers: { [name]: value } },
      has: served(version),
    })),
    ...['PUT', 'PATCH', 'DELETE'].map(method => ({ name: `method ${method}`, request: { method }, has: served('v2') })),
    ...['POST', 'OPTIONS'].map(method => ({ name: `no method ${method}`, request: { method }, has: served('v1') })),
    { name: 'without a header that is absent', request: { path: '/without' }, has: served('v2') },
    { name: 'without a header that is there', request: { path: '/without', headers: { 'x-absent': 'a' } }, has: served('v1') },
    { name: 'without a value, other', request: { path: '/notjason', headers: { 'end-user': 'anna' } }, has: served('v2') },
    { name: 'without a value, that', request: { path: '/notjason', headers: { 'end-user': 'jason' } }, has: served('v1') },
    { name: 'without a value, none', request: { path: '/notjason' }, has: served('v2') },
    { name: 'the port', request: { path: '/port' }, has: served('v2') },
    { name: 'half of a match', request: { path: '/both' }, has: served('v1') },
    { name: 'both halves of a match', request: { path: '/both', headers: { 'x-both': 'yes' } }, has: served('v2') },
    { name: 'the authority', request: { path: '/authority', headers: { host: 'matches.test:80' } }, has: served('v2') },
    { name: 'a host in capitals', request: { path: '/exact', headers: { host: 'MATCHES.test' } }, has: served('v2') },
    { name: 'HTTP/2 downstream', request: { path: '/exact', http2: true }, has: served('v2') },
  ],
};

const nothing: Group = {
  host: 'nothing.test',
  http: [{ match: [{ uri: { prefix: '/only' } }], route: v1 }],
  asked: [
    { name: 'no route matches', has: ['status 404'] },
    { name: 'no route matches HTTP/2', request: { http2: true }, has: ['status 404'] },
  ],
};

const rewrites: Group = {
  host: 'rewrites.test',
  http: [
    { match: [{ uri: { prefix: '/from/' } }], rewrite: { uri: '/to/' }, route: v1 },
    { match: [{ uri: { prefix: '/bare' } }], rewrite: { uri: '/' }, route: v1 },
    { match: [{ uri: { exact: '/whole' } }], rewrite: { uri: '/new?fixed=1', authority: 'rewritten.example' }, route: v1 },
    {
      match: [{ uri: { regex: '/v[0-9]+/.*' } }],
      rewrite: { uriRegexRewrite: { match: '^/v([0-9]+)/(.*)$', rewrite: '/version-\\1/\\2' } },
      route: v1,
    },
    { match: [{ uri: { prefix: '/authority' } }], rewrite: { authority: 'other.example' }, route: v1 },
    { route: v1 },
  ],
  asked: [
    { name: 'prefix', request: { path: '/from/a?b=c' }, has: ['URL=/to/a?b=c'] },
    { name: 'prefix to the root', request: { path: '/bare/a' }, has: ['URL=//a'] },
    { name: 'prefix to the root, all of it', request: { path: '/bare' }, has: ['URL=/'] },
    { name: 'exact, and authority', request: { path: '/whole' }, has: ['Host=rewritten.example', /^URL=\/new/] },
    { name: 'regex', request: { path: '/v12/a/b?c=/v3/' }, has: ['URL=/version-12/a/b?c=/v3/'] },
    { name: 'authority', request: { path: '/authority' }, has: ['Host=other.example', 'URL=/authority'] },
  ],
};

const redirects: Group = {
  host: 'redirects.test',
  http: [
    { match: [{ uri: { exact: '/default' } }], redirect: { uri: '/new', authority: 'new.example' } },
    { match: [{ uri: { exact: '/code' } }], redirect: { uri: '/new', redirectCode: 308 } },
    { match: [{ uri: { exact: '/scheme' } }], redirect: { scheme: 'https', port: 8443 } },
    { match: [{ uri: { exact: '/port' } }], redirect: { derivePort: 'FROM_REQUEST_PORT', authority: 'p.example' } },
    { match: [{ uri: { exact: '/protocol' } }], redirect: { derivePort: 'FROM_PROTOCOL_DEFAULT', scheme: 'https' } },
    { match: [{ uri: { prefix: '/prefix/' } }], redirect: { prefixRewrite: '/new/', redirectCode: 302 } },
    { match: [{ uri: { exact: '/direct' } }], directResponse: { status: 418, body: { string: 'a teapot' } } },
    {
      match: [{ uri: { exact: '/bytes' } }],
      directResponse: { status: 200, body: { bytes: Buffer.from('bytes').toString('base64') } },
      headers: { response: { set: { 'x-direct': 'yes' } } },
    },
    { match: [{ uri: { exact: '/empty' } }], directResponse: { status: 204 } },
    { route: v1 },
  ],
  asked: [
    { name: 'redirect', request: { path: '/default?a=b' }, has: ['status 301', /^location: http:\/\/new\.example\/new/] },
    { name: 'redirect code', request: { path: '/code' }, has: ['status 308', /^location: /] },
    { name: 'redirect scheme', request: { path: '/scheme' }, has: [/^location: https:\/\/redirects\.test:8443\/scheme/] },
    {
      name: 'redirect port',
      request: { path: '/port', headers: { host: 'redirects.test:80' } },
      has: [/^location: .*p\.example/],
    },
    {
      name: 'redirect port of the protocol',
      request: { path: '/protocol', headers: { host: 'redirects.test:80' } },
      has: [/^location: https/],
    },
    { name: 'redirect prefix', request: { path: '/prefix/a/b?c=d' }, has: ['status 302', /^location: .*\/new\/a\/b\?c=d/] },
    { name: 'direct response', request: { path: '/direct' }, has: ['status 418', 'a teapot'] },
    { name: 'direct response to HTTP/2', request: { path: '/direct', http2: true }, has: ['status 418', 'a teapot'] },
    { name: 'direct response of bytes', request: { path: '/bytes' }, has: ['status 200', 'bytes', 'x-direct: yes'] },
    { name: 'direct response without a body', request: { path: '/empty' }, has: ['status 204'] },
  ],
};

const headers: Group = {
  host: 'headers.test',
  http: [
    {
      match: [{ uri: { prefix: '/set' } }],
      headers: {
        request: {
          set: { 'x-set': 'route', 'x-format': '%REQ(x-in)%|%PROTOCOL%' },
          add: { 'x-add': 'more' },
          remove: ['x-gone'],
        },
        response: { set: { 'x-answer': 'route' }, add: { 'x-answer-more': 'a' }, remove: ['x-secret'] },
      },
      route: [
        to('v1', { headers: { request: { set: { 'x-destination': 'yes' } }, response: { add: { 'x-answer-more': 'b' } } } }),
      ],
    },
    { match: [{ uri: { prefix: '/host' } }], headers: { request: { set: { Host: 'set.example' } } }, route: v1 },
    { match: [{ uri: { prefix: '/authority' } }], headers: { request: { set: { ':authority': 'set2.example' } } }, route: v1 },
    {
      match: [{ uri: { prefix: '/two-hosts' } }],
      headers: { request: { set: { ':authority': 'route.example' } } },
      route: [to('v1', { weight: 50, headers: { request: { set: { Host: 'destination.example' } } } }), to('v1', { weight: 50 })],
    },
    { route: v1 },
  ],
  asked: [
    {
      name: 'request headers',
      request: { path: '/set', headers: { 'x-set': 'client', 'x-add': 'first', 'x-gone': 'a', 'x-in': 'in' } },
      has: [
        ...['RequestHeader=X-Set:route', 'RequestHeader=X-Add:first', 'RequestHeader=X-Add:more'],
        ...['RequestHeader=X-Format:in|HTTP/1.1', 'RequestHeader=X-Destination:yes'],
      ],
      lacks: [/X-Gone/],
    },
    {
      name: 'response headers',
      request: { path: '/set?headers=x-secret:a,x-answer:server,x-answer-more:server' },
      has: ['x-answer: route', 'x-answer-more: server', 'x-answer-more: a', 'x-answer-more: b'],
      lacks: [/^x-secret/],
    },
    { name: 'Host', request: { path: '/host' }, has: ['Host=set.example'] },
    { name: ':authority', request: { path: '/authority' }, has: ['Host=set2.example'] },
    { name: 'authority of route and destination', request: { path: '/two-hosts' }, has: ['Host=route.example'], count: 4 },
  ],
};

const faults: Group = {
  host: 'faults.test',
  http: [
    { match: [{ uri: { exact: '/abort' } }], fault: { abort: { httpStatus: 418, percentage: { value: 100 } } }, route: v1 },
    {
      match: [{ uri: { exact: '/grpc' } }],
      fault: { abort: { grpcStatus: 'UNAVAILABLE', percentage: { value: 100 } } },
      route: v1,
    },
    { match: [{ uri: { exact: '/never' } }], fault: { abort: { httpStatus: 418, percentage: { value: 0 } } }, route: v1 },
    { match: [{ uri: { exact: '/delay' } }], fault: { delay: { fixedDelay: '0.3s', percentage: { value: 100 } } }, route: v1 },
    { match: [{ uri: { prefix: '/timeout' } }], timeout: '0.3s', route: v1 },
    { match: [{ uri: { prefix: '/retry' } }], retries: { attempts: 2, retryOn: '503', backoff: '1ms' }, route: v1 },
    { match: [{ uri: { prefix: '/gateway' } }], retries: { attempts: 3, retryOn: 'gateway-error' }, route: v1 },
    { match: [{ uri: { prefix: '/none' } }], retries: { attempts: 0 }, route: v1 },
    { match: [{ uri: { prefix: '/per-try' } }], retries: { attempts: 1, perTryTimeout: '0.2s', retryOn: '5xx' }, route: v1 },
    { route: v1 },
  ],
  asked: [
    { name: 'abort', request: { path: '/abort' }, has: ['status 418', 'fault filter abort'] },
    {
      name: 'abort of gRPC',
      request: { path: '/grpc', http2: true, headers: { 'content-type': 'application/grpc' } },
      has: ['grpc-status: 14'],
    },
    { name: 'no abort', request: { path: '/never' }, has: served('v1') },
    { name: 'delay', request: { path: '/delay' }, has: served('v1'), minMs: 300 },
    {
      name: 'timeout',
      request: { path: '/timeout?delay=2s' },
      has: ['status 504', 'upstream request timeout'],
      minMs: 280,
      maxMs: 1500,
    },
    { name: 'in time', request: { path: '/timeout' }, has: served('v1') },
    {
      name: 'retries in vain',
      request: { path: '/retry?codes=503' },
      has: ['status 503', 'RequestHeader=X-Envoy-Attempt-Count:3'],
    },
    {
      name: 'retries gateway errors',
      request: { path: '/gateway?codes=502' },
      has: ['status 502', 'RequestHeader=X-Envoy-Attempt-Count:4'],
    },
    {
      name: 'does not retry other errors',
      request: { path: '/gateway?codes=500' },
      has: ['status 500', 'RequestHeader=X-Envoy-Attempt-Count:1'],
    },
    {
      name: 'retries switched off',
      request: { path: '/none?codes=503' },
      has: ['status 503', 'RequestHeader=X-Envoy-Attempt-Count:1'],
    },
    { name: 'timeout of each try', request: { path: '/per-try?delay=2s' }, has: ['status 504'], minMs: 380, maxMs: 1900 },
    {
      name: 'default: 503 is not retried',
      request: { path: '/?codes=503' },
      has: ['status 503', 'RequestHeader=X-Envoy-Attempt-Count:1'],
    },
  ],
};

const cors: Group = {
  host: 'cors.test',
  http: [
    {
      corsPolicy: {
        allowOrigins: [{ exact: 'http://exact.example' }, { prefix: 'http://pre' }, { regex: 'http://[a-z]+\\.re\\.example' }],
        allowMethods: ['GET', 'PUT'],
        allowHeaders: ['x-asked'],
        exposeHeaders: ['x-shown'],
        maxAge: '300s',
        allowCredentials: true,
      },
      route: v1,
    },
  ],
  asked: [
    ...['http://exact.example', 'http://prefixed.example', 'http://some.re.example'].flatMap((origin): Asked[] => [
      {
        name: `preflight of ${origin}`,
        request: { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'PUT' } },
        has: [
          'status 200',
          `access-control-allow-origin: ${origin}`,
          'access-control-max-age: 300',
          'access-control-allow-methods: GET,PUT',
        ],
      },
      {
        name: `GET of ${origin}`,
        request: { headers: { origin } },
        has: [...served('v1'), 'access-control-expose-headers: x-shown'],
      },
    ]),
    {
      name: 'another origin',
      request: { headers: { origin: 'http://evil.example' } },
      has: served('v1'),
      lacks: [/^access-control/],
    },
    {
      name: 'preflight of another origin',
      request: { method: 'OPTIONS', headers: { origin: 'http://evil.example', 'access-control-request-method': 'PUT' } },
      has: [/^status /],
      lacks: [/^access-control-allow-origin/],
    },
    { name: 'no origin', has: served('v1'), lacks: [/^access-control/] },
  ],
};

const groups = [matches, nothing, rewrites, redirects, headers, faults, cors];

apply(
  groups.map(({ host, http }) =>
    istioObject('networking', 'VirtualService', namespace, host, { hosts: [host], http, exportTo: ['.'] }),
  ),
);

for (const { host, asked } of groups) {
  t.test(host, async t => {
    const scenarios = asked.map(({ request, ...expected }): Scenario => {
      const command: Request = { address, port: 80, ...request, headers: { host, ...request?.headers } };
      return { ...expected, command };
    });
    await compareTwins(t, twins, scenarios);
  });
}
