/**
 * The environment of `proxy`, read once and typed. The only reader of process.env in the agent.
 *
 * A value that does not parse counts as absent, with a warning, as in Istio's pkg/env. Durations are milliseconds.
 */
import { AgentLogger } from '../log.ts';
import { parseGoDuration } from './duration.ts';

const log = new AgentLogger('default');

export type Variables = Readonly<Record<string, string | undefined>>;

/** This process's variables. */
export function processVariables(): Variables {
  return process.env;
}

function readText(variables: Variables, name: string, defaultValue: string): string {
  return variables[name] ?? defaultValue;
}

function readBool(variables: Variables, name: string, defaultValue: boolean): boolean {
  const text = variables[name];
  if (text === undefined) return defaultValue;
  if (/^(1|t|T|TRUE|true|True)$/.test(text)) return true;
  if (/^(0|f|F|FALSE|false|False)$/.test(text)) return false;
  warnOf(name, text, defaultValue);
  return defaultValue;
}

function readNumber(variables: Variables, name: string, defaultValue: number, pattern: RegExp): number {
  const text = variables[name];
  if (text === undefined) return defaultValue;
  if (pattern.test(text)) return Number(text);
  warnOf(name, text, defaultValue);
  return defaultValue;
}

function readDuration(variables: Variables, name: string, defaultMs: number): number {
  const text = variables[name];
  if (text === undefined) return defaultMs;
  const ms = parseGoDuration(text);
  if (ms !== null) return ms;
  warnOf(name, text, `${defaultMs}ms`);
  return defaultMs;
}

function warnOf(name: string, text: string, defaultValue: unknown): void {
  log.warn(`Invalid environment variable value \`${text}\`, expecting another type, defaulting to ${defaultValue}`, { name });
}

function readPrefixed(variables: Variables, prefix: string): Readonly<Record<string, string>> {
  const entries = Object.entries(variables).filter(([name, value]) => name.startsWith(prefix) && value !== undefined);
  return Object.fromEntries(entries.map(([name, value]) => [name.slice(prefix.length), value as string]));
}

const integer = /^[-+]?\d+$/;
const decimal = /^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$/;

export type Environment = ReturnType<typeof readEnvironment>;

/** Reads everything that `proxy` is configured with by environment. */
export function readEnvironment(variables: Variables) {
  return {
    variables,
    ...readIdentityEnvironment(variables),
    ...readCertificateEnvironment(variables),
    ...readServiceEnvironment(variables),
  };
}

function readIdentityEnvironment(variables: Variables) {
  return {
    instanceIp: readText(variables, 'INSTANCE_IP', ''),
    podName: readText(variables, 'POD_NAME', ''),
    podNamespace: readText(variables, 'POD_NAMESPACE', ''),
    serviceAccount: readText(variables, 'SERVICE_ACCOUNT', ''),
    hostIp: readText(variables, 'HOST_IP', ''),
    clusterId: readText(variables, 'ISTIO_META_CLUSTER_ID', ''),
    trustDomain: readText(variables, 'TRUST_DOMAIN', 'cluster.local'),
    proxyConfig: readText(variables, 'PROXY_CONFIG', ''),
    cpuLimit: readNumber(variables, 'ISTIO_CPU_LIMIT', 0, integer),
    jwtPolicy: readText(variables, 'JWT_POLICY', 'third-party-jwt'),
    pilotCertProvider: readText(variables, 'PILOT_CERT_PROVIDER', 'istiod'),
    istiodSan: readText(variables, 'ISTIOD_SAN', ''),
    bootstrapTemplate: readText(variables, 'ISTIO_BOOTSTRAP', ''),
    bootstrapOverride: readText(variables, 'ISTIO_BOOTSTRAP_OVERRIDE', ''),
    coreDump: readBool(variables, 'ISTIO_ENVOY_ENABLE_CORE_DUMP', false),
    compliancePolicy: readText(variables, 'COMPLIANCE_POLICY', ''),
    cloudPlatform: readText(variables, 'CLOUD_PLATFORM', ''),
    gcpMetadata: readText(variables, 'GCP_METADATA', ''),
    gcpQuotaProject: readText(variables, 'GCP_QUOTA_PROJECT', ''),
    gcpZone: readText(variables, 'GCP_ZONE', ''),
    gceMetadataHost: readText(variables, 'GCE_METADATA_HOST', ''),
    kubernetesServiceHost: readText(variables, 'KUBERNETES_SERVICE_HOST', ''),
  };
}

function readCertificateEnvironment(variables: Variables) {
  return {
    caAddress: readText(variables, 'CA_ADDR', ''),
    credentialFetcherType: readText(variables, 'CREDENTIAL_FETCHER_TYPE', 'JWT'),
    caProvider: readText(variables, 'CA_PROVIDER', 'Citadel'),
    caRoot: readText(variables, 'CA_ROOT_CA', ''),
    xdsRoot: readText(variables, 'XDS_ROOT_CA', ''),
    provisionedCertificates: readText(variables, 'PROV_CERT', ''),
    fileMountedCertificates: readBool(variables, 'FILE_MOUNTED_CERTS', false),
    outputCertificates: readText(variables, 'OUTPUT_CERTS', ''),
    certificateSigner: readText(variables, 'ISTIO_META_CERT_SIGNER', ''),
    workloadIdentitySocketFile: readText(variables, 'WORKLOAD_IDENTITY_SOCKET_FILE', 'socket'),
    secretTtlMs: readDuration(variables, 'SECRET_TTL', 24 * 3_600_000),
    rotationRatio: readNumber(variables, 'SECRET_GRACE_PERIOD_RATIO', 0.5, decimal),
    rotationRatioJitter: readNumber(variables, 'SECRET_GRACE_PERIOD_RATIO_JITTER', 0.01, decimal),
    fileDebounceMs: readDuration(variables, 'FILE_DEBOUNCE_DURATION', 100),
    rsaKeySize: readNumber(variables, 'WORKLOAD_RSA_KEY_SIZE', 2048, integer),
    pkcs8Key: readBool(variables, 'PKCS8_KEY', false),
    eccSignatureAlgorithm: readText(variables, 'ECC_SIGNATURE_ALGORITHM', ''),
    eccCurve: readText(variables, 'ECC_CURVE', 'P256'),
    caCrl: readBool(variables, 'PILOT_ENABLE_CA_CRL', true),
    caHeaders: readPrefixed(variables, 'CA_HEADER_'),
    xdsHeaders: readPrefixed(variables, 'XDS_HEADER_'),
  };
}

function readServiceEnvironment(variables: Variables) {
  return {
    envoyStatusPort: readNumber(variables, 'ENVOY_STATUS_PORT', 15021, integer),
    envoyPrometheusPort: readNumber(variables, 'ENVOY_PROMETHEUS_PORT', 15090, integer),
    envoySecureMetricsPort: readNumber(variables, 'ENVOY_SECURE_METRICS_PORT', 0, integer),
    envoySecureMergedMetricsPort: readNumber(variables, 'ENVOY_SECURE_MERGED_METRICS_PORT', 0, integer),
    envoyStatusPortProxyProtocol: readBool(variables, 'ENVOY_STATUS_PORT_ENABLE_PROXY_PROTOCOL', false),
    envoySkipDeprecatedLogs: readBool(variables, 'ENVOY_SKIP_DEPRECATED_LOGS', true),
    disableEnvoy: readBool(variables, 'DISABLE_ENVOY', false),
    minimumDrainMs: readDuration(variables, 'MINIMUM_DRAIN_DURATION', 5000),
    exitOnZeroActiveConnections: readBool(variables, 'EXIT_ON_ZERO_ACTIVE_CONNECTIONS', false),
    deltaXds: readBool(variables, 'ISTIO_DELTA_XDS', true),
    dualStack: readBool(variables, 'ISTIO_DUAL_STACK', false),
    stripFragment: readBool(variables, 'HTTP_STRIP_FRAGMENT_FROM_PATH_UNSAFE_IF_DISABLED', true),
    peerMetadataDiscovery:
      variables.PEER_METADATA_DISCOVERY === undefined ? null : readBool(variables, 'PEER_METADATA_DISCOVERY', false),
    proxyConfigXds: readBool(variables, 'PROXY_CONFIG_XDS_AGENT', false),
    grpcBootstrap: readText(variables, 'GRPC_XDS_BOOTSTRAP', 'etc/istio/proxy/grpc-bootstrap.json'),
    keepaliveIntervalMs: readDuration(variables, 'GRPC_KEEPALIVE_INTERVAL', 30_000),
    keepaliveTimeoutMs: readDuration(variables, 'GRPC_KEEPALIVE_TIMEOUT', 10_000),
    maxStreams: readNumber(variables, 'ISTIO_GPRC_MAXSTREAMS', 100_000, integer),
    dnsCapture: readBool(variables, 'ISTIO_META_DNS_CAPTURE', false),
    dnsServer: readBool(variables, 'ISTIO_META_ENABLE_DNS_SERVER', false),
    dnsAddress: readText(variables, 'DNS_PROXY_ADDR', 'localhost:15053'),
    dnsForwardParallel: readBool(variables, 'DNS_FORWARD_PARALLEL', false),
    dnsForwardTimeoutMs: readDuration(variables, 'DNS_FORWARD_TIMEOUT', 5000),
    kubeAppProbers: readText(variables, 'ISTIO_KUBE_APP_PROBERS', ''),
    prometheusAnnotations: variables.ISTIO_PROMETHEUS_ANNOTATIONS ?? null,
    http2Probing: readBool(variables, 'ISTIO_ENABLE_HTTP2_PROBING', true),
    legacyLocalhostProbes: readBool(variables, 'REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION', false),
    probeKeepalive: readBool(variables, 'ENABLE_PROBE_KEEPALIVE_CONNECTIONS', false),
    metricsLocalhostOnly: readBool(variables, 'METRICS_LOCALHOST_ACCESS_ONLY', false),
    mergeEnvoyStats: readBool(variables, 'PILOT_AGENT_MERGE_ENVOY_STATS', true),
  };
}
