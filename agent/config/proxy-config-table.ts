/**
 * The fields of Istio's ProxyConfig, for reading it from YAML or JSON.
 *
 * Source: istio.mesh.v1alpha1.ProxyConfig of istio.io/api 1.31.
 */
import type { FieldType, MessageTable } from './proto-json.ts';

const enumeration = (...names: string[]): FieldType => ({
  enumeration: Object.fromEntries(names.map((name, number) => [name, number])),
});
const message = (table: MessageTable): FieldType => ({ message: () => table });
const strings: FieldType = { list: 'string' };
const stringMap: FieldType = { map: 'string' };
const disabled = message({ disabled: 'boolValue' });
const enabled = message({ enabled: 'boolValue' });

const clientTls = message({
  mode: enumeration('DISABLE', 'SIMPLE', 'MUTUAL', 'ISTIO_MUTUAL'),
  clientCertificate: 'string',
  privateKey: 'string',
  caCertificates: 'string',
  credentialName: 'string',
  subjectAltNames: strings,
  sni: 'string',
  insecureSkipVerify: 'boolValue',
  caCrl: 'string',
});

const remoteService = message({
  address: 'string',
  tlsSettings: clientTls,
  tcpKeepalive: message({ probes: 'uint32', time: 'duration', interval: 'duration' }),
});

const collector = message({ address: 'string' });
const envTag = message({ name: 'string', defaultValue: 'string' });

const tracing = message({
  zipkin: collector,
  lightstep: message({ address: 'string', accessToken: 'string' }),
  datadog: collector,
  stackdriver: message({
    debug: 'bool',
    maxNumberOfAttributes: 'int64Value',
    maxNumberOfAnnotations: 'int64Value',
    maxNumberOfMessageEvents: 'int64Value',
  }),
  openCensusAgent: message({
    address: 'string',
    context: { list: enumeration('UNSPECIFIED', 'W3C_TRACE_CONTEXT', 'GRPC_BIN', 'CLOUD_TRACE_CONTEXT', 'B3') },
  }),
  customTags: { map: message({ literal: message({ value: 'string' }), environment: envTag, header: envTag }) },
  maxPathTagLength: 'uint32',
  sampling: 'double',
  tlsSettings: clientTls,
  enableIstioTags: 'boolValue',
});

const forwardClientCert = enumeration(
  'UNDEFINED',
  'SANITIZE',
  'FORWARD_ONLY',
  'APPEND_FORWARD',
  'SANITIZE_SET',
  'ALWAYS_FORWARD_ONLY',
);

const proxyHeaders = message({
  forwardedClientCert: forwardClientCert,
  setCurrentClientCertDetails: message({
    subject: 'boolValue',
    cert: 'boolValue',
    chain: 'boolValue',
    dns: 'boolValue',
    uri: 'boolValue',
  }),
  requestId: disabled,
  server: message({ disabled: 'boolValue', value: 'string' }),
  attemptCount: disabled,
  envoyDebugHeaders: disabled,
  metadataExchangeHeaders: message({ mode: enumeration('UNDEFINED', 'IN_MESH') }),
  preserveHttp1HeaderCase: 'boolValue',
  xForwardedHost: enabled,
  xForwardedPort: enabled,
});

const readinessProbe = message({
  initialDelaySeconds: 'int32',
  timeoutSeconds: 'int32',
  periodSeconds: 'int32',
  successThreshold: 'int32',
  failureThreshold: 'int32',
  httpGet: message({
    path: 'string',
    port: 'uint32',
    host: 'string',
    scheme: 'string',
    httpHeaders: { list: message({ name: 'string', value: 'string' }) },
  }),
  tcpSocket: message({ host: 'string', port: 'uint32' }),
  exec: message({ command: strings }),
  grpc: message({ port: 'uint32', service: 'string' }),
});

const privateKeyProvider = message({
  cryptomb: message({ pollDelay: 'duration', fallback: 'boolValue' }),
  qat: message({ pollDelay: 'duration', fallback: 'boolValue' }),
});

const connectionSettings = message({
  profile: enumeration('SIDECAR', 'EDGE'),
  listenerPerConnectionBufferLimitBytes: 'int32Value',
  clusterPerConnectionBufferLimitBytes: 'int32Value',
  httpIdleTimeout: 'duration',
  httpMaxConnectionDuration: 'duration',
  httpDrainTimeout: 'duration',
  httpRequestTimeout: 'duration',
  httpRequestHeadersTimeout: 'duration',
  httpStreamIdleTimeout: 'duration',
  httpMaxStreamDuration: 'duration',
  httpMaxConcurrentStreams: 'int32Value',
  http2InitialStreamWindowSize: 'int32Value',
  http2InitialConnectionWindowSize: 'int32Value',
  httpHeadersWithUnderscoresAction: enumeration(
    'HEADERS_WITH_UNDERSCORES_UNSPECIFIED',
    'HEADERS_WITH_UNDERSCORES_ALLOW',
    'HEADERS_WITH_UNDERSCORES_REJECT_REQUEST',
    'HEADERS_WITH_UNDERSCORES_DROP_HEADER',
  ),
  httpMergeSlashes: 'boolValue',
  httpPathWithEscapedSlashesAction: enumeration(
    'PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED',
    'KEEP_UNCHANGED',
    'REJECT_REQUEST',
    'UNESCAPE_AND_REDIRECT',
    'UNESCAPE_AND_FORWARD',
  ),
  listenerConnectionLimit: 'int32Value',
  globalDownstreamConnectionLimit: 'int32Value',
});

export const proxyConfigTable: MessageTable = {
  configPath: 'string',
  binaryPath: 'string',
  serviceCluster: { member: 'string' },
  tracingServiceName: {
    member: enumeration('APP_LABEL_AND_NAMESPACE', 'CANONICAL_NAME_ONLY', 'CANONICAL_NAME_AND_NAMESPACE'),
  },
  drainDuration: 'duration',
  discoveryAddress: 'string',
  discoveryRefreshDelay: 'duration',
  zipkinAddress: 'string',
  statsdUdpAddress: 'string',
  envoyMetricsServiceAddress: 'string',
  proxyAdminPort: 'int32',
  availabilityZone: 'string',
  controlPlaneAuthPolicy: { enumeration: { NONE: 0, MUTUAL_TLS: 1, INHERIT: 1000 } },
  customConfigFile: 'string',
  statNameLength: 'int32',
  concurrency: 'int32Value',
  proxyBootstrapTemplatePath: 'string',
  interceptionMode: enumeration('REDIRECT', 'TPROXY', 'NONE'),
  tracing,
  sds: message({ enabled: 'bool', k8sSaJwtPath: 'string' }),
  envoyAccessLogService: remoteService,
  envoyMetricsService: remoteService,
  proxyMetadata: stringMap,
  runtimeValues: stringMap,
  statusPort: 'int32',
  extraStatTags: strings,
  gatewayTopology: message({
    numTrustedProxies: 'uint32',
    forwardClientCertDetails: forwardClientCert,
    proxyProtocol: message({}),
  }),
  terminationDrainDuration: 'duration',
  meshId: 'string',
  readinessProbe,
  proxyStatsMatcher: message({ inclusionPrefixes: strings, inclusionSuffixes: strings, inclusionRegexps: strings }),
  holdApplicationUntilProxyStarts: 'boolValue',
  caCertificatesPem: strings,
  image: message({ imageType: 'string' }),
  privateKeyProvider,
  proxyHeaders,
  fileFlushInterval: 'duration',
  fileFlushMinSizeKb: 'uint32',
  statsCompression: 'boolValue',
  connectionSettings,
};
