import { readFileSync } from 'node:fs';
import t from 'tap';
import { join } from 'node:path';
import { findRealAgent, findTemplate, normalize, type Scenario, writeBootstrapWith } from './bootstrap-oracle.ts';

const own = `${process.execPath} ${join(import.meta.dirname, '../../../agent/main.ts')}`;
const real = findRealAgent();
const template = findTemplate();
const skip =
  process.getuid?.() !== 0 ? 'needs root for network namespaces' : real === '' || template === '' ? 'no pilot-agent here' : false;

const podPorts = '[\n  {"name":"http","containerPort":8080,"protocol":"TCP"}\n  ,{"containerPort":9090}\n]';
const tlsSettings = {
  mode: 'MUTUAL',
  clientCertificate: '/c.pem',
  privateKey: '/k.pem',
  caCertificates: '/r.pem',
  sni: 's',
  subjectAltNames: ['a', 'b'],
};

const scenarios: readonly Scenario[] = [
  { name: 'the defaults' },
  {
    name: 'what the injection template gives',
    arguments: [
      '--domain',
      'default.svc.cluster.local',
      '--proxyLogLevel=warning',
      '--proxyComponentLogLevel=misc:error',
      '--log_output_level=default:info',
    ],
    environment: {
      PILOT_CERT_PROVIDER: 'istiod',
      ISTIO_CPU_LIMIT: '2',
      ISTIO_META_POD_PORTS: podPorts,
      ISTIO_META_APP_CONTAINERS: 'app,b',
      ISTIO_META_CLUSTER_ID: 'Kubernetes',
      ISTIO_META_NODE_NAME: 'node-1',
      ISTIO_META_INTERCEPTION_MODE: 'REDIRECT',
      ISTIO_META_WORKLOAD_NAME: 'web',
      ISTIO_META_OWNER: 'kubernetes://apis/apps/v1/namespaces/default/deployments/web',
      ISTIO_META_MESH_ID: 'cluster.local',
      ISTIO_META_NETWORK: '',
      ISTIO_META_ISTIO_PROXY_SHA: 'istio-proxy:abc',
      ISTIO_META_UNKNOWN_THING: 'x',
      TRUST_DOMAIN: 'cluster.local',
    },
    labels:
      'app="web"\nversion="v1"\npod-template-hash="abc"\nservice.istio.io/canonical-name="web"\ntopology.istio.io/locality="r.z.s"\n',
    annotations: 'a.b/c="line\\none \\"quoted\\" \\u00fc"\nistio.io/rev="default"\n',
  },
  { name: 'HBONE, workload discovery', environment: { ISTIO_META_ENABLE_HBONE: 'true' } },
  { name: 'workload discovery without delta', environment: { PEER_METADATA_DISCOVERY: 'true', ISTIO_DELTA_XDS: 'false' } },
  {
    name: 'peer metadata discovery switched off',
    environment: { PEER_METADATA_DISCOVERY: 'false', ISTIO_META_ENABLE_HBONE: 'true' },
  },
  {
    name: "a copy of Istio's own template",
    environment: { ISTIO_BOOTSTRAP: './copy.json' },
    files: { 'copy.json': template === '' ? '' : readFileSync(template, 'utf8') },
  },
  {
    name: "Google's cloud, by environment",
    environment: {
      CLOUD_PLATFORM: 'gcp',
      GCP_METADATA: 'p|12|c|europe-west1',
      GCP_ZONE: 'europe-west1-b',
      GCP_QUOTA_PROJECT: 'q',
    },
  },
  { name: 'IPv6 only', addresses: ['fd00::1'] },
  { name: 'both families, one used', addresses: ['10.1.1.1', 'fd00::1'] },
  { name: 'dual stack', addresses: ['10.1.1.1', 'fd00::1'], environment: { ISTIO_DUAL_STACK: 'true' } },
  { name: 'dual stack, IPv6 first', addresses: ['fd00::1', '10.1.1.1'], environment: { ISTIO_DUAL_STACK: 'true' } },
  {
    name: 'annotations about statistics',
    annotations: [
      'sidecar.istio.io/statsInclusionPrefixes="a,http.{pod_ip}_"',
      'sidecar.istio.io/statsInclusionSuffixes="s1,s2"',
      'sidecar.istio.io/statsInclusionRegexps="r1.*\\\\.x,r2"',
      'sidecar.istio.io/extraStatTags="one,two,one"',
      'sidecar.istio.io/statsHistogramBuckets="{\\"istiocustom\\":[1,5,10],\\"cluster\\":[0.5]}"',
      'sidecar.istio.io/statsFlushInterval="10s"',
      'sidecar.istio.io/statsEvictionInterval="20s"',
      '',
    ].join('\n'),
    proxyConfig: { extraStatTags: ['zero', 'one'], proxyStatsMatcher: { inclusionPrefixes: ['ignored'] } },
  },
  {
    name: 'statistics in the ProxyConfig',
    proxyConfig: {
      proxyStatsMatcher: { inclusionPrefixes: ['p1'], inclusionSuffixes: ['s'], inclusionRegexps: ['.*upstream.*'] },
      statsCompression: false,
    },
  },
  { name: 'exit on zero connections', environment: { EXIT_ON_ZERO_ACTIVE_CONNECTIONS: 'true' } },
  {
    name: 'Zipkin',
    proxyConfig: {
      tracing: { zipkin: { address: 'zipkin.tracing:9411' }, sampling: 50, customTags: { a: { literal: { value: 'v' } } } },
    },
  },
  {
    name: 'Zipkin on the node',
    environment: { HOST_IP: '10.9.9.9' },
    proxyConfig: { tracing: { zipkin: { address: '$(HOST_IP):9411' }, tlsSettings } },
  },
  {
    name: 'Datadog with Istio TLS',
    proxyConfig: { tracing: { datadog: { address: 'dd:8126' }, tlsSettings: { mode: 'ISTIO_MUTUAL' } } },
  },
  {
    name: 'Lightstep',
    proxyConfig: {
      tracing: {
        lightstep: { address: 'ls:443', accessToken: 'abc' },
        tlsSettings: { mode: 'SIMPLE', caCertificates: '/r.pem' },
      },
    },
  },
  {
    name: 'access log and metrics services',
    proxyConfig: {
      envoyAccessLogService: { address: 'als:1', tlsSettings },
      envoyMetricsService: { address: 'ms:2', tlsSettings: { mode: 'ISTIO_MUTUAL', sni: 'own' } },
      statsdUdpAddress: '127.0.0.1:9125',
    },
  },
  {
    name: 'runtime values',
    proxyConfig: { runtimeValues: { 're2.max_program_size.error_level': '', a: 'true', b: 'false', c: '5' } },
  },
  { name: 'a connection limit', proxyConfig: { proxyMetadata: { ISTIO_META_GLOBAL_DOWNSTREAM_MAX_CONNECTIONS: '1000' } } },
  {
    name: 'a connection limit by runtime value',
    proxyConfig: { runtimeValues: { 'overload.global_downstream_max_connections': '50000' } },
  },
  {
    name: 'strip fragment off, FIPS',
    environment: { HTTP_STRIP_FRAGMENT_FROM_PATH_UNSAFE_IF_DISABLED: 'false', COMPLIANCE_POLICY: 'fips-140-2' },
  },
  {
    name: 'secure metrics ports',
    environment: { ENVOY_SECURE_METRICS_PORT: '15091', ENVOY_SECURE_MERGED_METRICS_PORT: '15092' },
  },
  { name: 'metrics on localhost', proxyConfig: { proxyMetadata: { METRICS_LOCALHOST_ACCESS_ONLY: 'true' } } },
  { name: 'proxy protocol on the status port', environment: { ENVOY_STATUS_PORT_ENABLE_PROXY_PROTOCOL: 'true' } },
  {
    name: 'other ports',
    environment: { ENVOY_STATUS_PORT: '16021', ENVOY_PROMETHEUS_PORT: '16090' },
    proxyConfig: { proxyAdminPort: 16000, statusPort: 16020 },
  },
  { name: 'self discovery', environment: { ISTIO_META_ENABLE_SELF_DISCOVERY: 'true' } },
  { name: 'outlier log', arguments: ['--outlierLogPath', '/dev/stdout', '--log_as_json'] },
  { name: 'log scopes', arguments: ['--proxyLogLevel', 'info,upstream:debug,misc:error', '--proxyComponentLogLevel', 'a:b'] },
  {
    name: 'metadata of several sources',
    environment: {
      ISTIO_METAJSON_LABELS: '{"app":"vm","x":"y"}',
      ISTIO_METAJSON_EXTRA: '{"NETWORK":"n2","custom":{"a":1}}',
      ISTIO_META_DNS_CAPTURE: 'false',
      ISTIO_META_HTTP10: '1',
      ISTIO_META_IDLE_TIMEOUT: '10s',
      ISTIO_META_AUTO_REGISTER_GROUP: 'g',
      ISTIO_META_INBOUND_LISTENER_EXACT_BALANCE: '1',
      DNS_PROXY_ADDR: 'localhost:15054',
      ENVOY_SKIP_DEPRECATED_LOGS: 'false',
    },
    proxyConfig: { proxyMetadata: { ISTIO_META_NETWORK: 'n1', ISTIO_META_DNS_AUTO_ALLOCATE: 'true', OTHER: 'z' } },
  },
  {
    name: 'a tracing name from labels',
    labels: 'app="one"\nservice.istio.io/canonical-name="two"\n',
    proxyConfig: { tracingServiceName: 'CANONICAL_NAME_AND_NAMESPACE' },
  },
  {
    name: 'a tracing name alone',
    environment: { ISTIO_META_WORKLOAD_NAME: 'w' },
    proxyConfig: { tracingServiceName: 'CANONICAL_NAME_ONLY' },
  },
  { name: 'a service cluster', proxyConfig: { serviceCluster: 'mine' } },
  {
    name: 'configuration in annotations',
    annotations:
      'proxy.istio.io/config="concurrency: 3\\nproxyMetadata:\\n  ISTIO_META_A: b\\ndrainDuration: 10s\\nstatus_port: 16020\\n"\nsidecar.istio.io/discoveryAddress="127.0.0.2:15012"\n',
    proxyConfig: { proxyMetadata: { ISTIO_META_C: 'd' }, proxyHeaders: { server: { value: 'x' } } },
  },
  {
    name: 'a mesh file, and an old flag',
    files: {
      'mesh.yaml':
        'defaultConfig:\n  discoveryAddress: 127.0.0.9:15012\n  holdApplicationUntilProxyStarts: true\n  fileFlushInterval: 2s\n  fileFlushMinSizeKb: 32\n',
    },
    arguments: ['--meshConfig', 'mesh.yaml', '--concurrency', '4', '--unknownFlag', 'x'],
  },
  {
    name: 'a bootstrap override',
    files: { 'override.yaml': 'node:\n  cluster: $(HOST_IP)\nstatic_resources: {clusters: []}\n' },
    environment: { ISTIO_BOOTSTRAP_OVERRIDE: 'override.yaml', HOST_IP: '10.9.9.9' },
  },
  { name: 'certificates written for applications', environment: { OUTPUT_CERTS: '/certs' } },
  {
    name: 'every kind of field of the ProxyConfig',
    proxyConfig: {
      meshId: 'm',
      interceptionMode: 'TPROXY',
      gatewayTopology: { numTrustedProxies: 2, forwardClientCertDetails: 'SANITIZE_SET', proxyProtocol: {} },
      readinessProbe: { periodSeconds: 5, httpGet: { path: '/x', port: 80, httpHeaders: [{ name: 'a', value: 'b' }] } },
      privateKeyProvider: { cryptomb: { pollDelay: '0.010s', fallback: true } },
      proxyHeaders: {
        attemptCount: { disabled: true },
        metadataExchangeHeaders: { mode: 'IN_MESH' },
        forwardedClientCert: 'APPEND_FORWARD',
      },
      connectionSettings: { profile: 'EDGE', httpIdleTimeout: '1.5s', httpMergeSlashes: false, httpMaxConcurrentStreams: 7 },
      holdApplicationUntilProxyStarts: false,
      image: { imageType: 'debug' },
      caCertificatesPem: [],
      statNameLength: 0,
      unknownField: 1,
    },
  },
];

for (const scenario of scenarios) {
  t.test(`bootstrap and command line equal pilot-agent's: ${scenario.name}`, { skip }, async t => {
    const [expected, actual] = await Promise.all([
      writeBootstrapWith(real, template, scenario),
      writeBootstrapWith(own, template, scenario),
    ]);
    t.same(normalize(actual.bootstrap), normalize(expected.bootstrap));
    t.same(normalize(actual.grpcBootstrap), normalize(expected.grpcBootstrap));
    t.same(actual.arguments, expected.arguments);
  });
}
