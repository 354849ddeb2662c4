/**
 * Who this proxy is: what istiod decides its configuration by.
 *
 * Source: GetNodeMetaData in istio.io/istio pkg/bootstrap and BootstrapNodeMetadata in pkg/model.
 */
import { istioVersion } from '../../common/version.ts';
import { AgentLogger } from '../log.ts';
import type { StringMap } from './downward-api.ts';
import type { Environment } from './environment.ts';
import type { Json, JsonObject } from './proto-json.ts';
import type { Platform } from './platform/platform.ts';
import type { ProxyConfig } from './proxy-config.ts';

const log = new AgentLogger('default');

export type Locality = { readonly region?: string; readonly zone?: string; readonly subZone?: string };

/** `typed` holds the keys that Istio's model names; `raw` what came by environment, whose unknown keys travel too. */
export type Node = {
  readonly id: string;
  readonly locality: Locality;
  readonly typed: JsonObject;
  readonly raw: JsonObject;
};

export type NodeSources = {
  readonly id: string;
  readonly environment: Environment;
  readonly proxyConfig: ProxyConfig;
  readonly addresses: readonly string[];
  readonly podLabels: StringMap | null;
  readonly podAnnotations: StringMap | null;
  readonly pilotSubjectAltNames: readonly string[];
  readonly stsPort: number;
  readonly outlierLogPath: string;
  /** A live SDS server of someone else on the credential socket. */
  readonly credentialSocketExists: boolean;
  /** The agent serves only file-mounted certificates. */
  readonly servesOnlyFiles: boolean;
  /** Absent or null: none of the known clouds. */
  readonly platform?: Platform | null;
};

const stringKeys = [
  'NAME',
  'OWNER',
  'APP_CONTAINERS',
  'ISTIO_PROXY_SHA',
  'ISTIO_VERSION',
  'ISTIO_REVISION',
  'NAMESPACE',
  'NODE_NAME',
  'WORKLOAD_NAME',
  'INTERCEPTION_MODE',
  'SERVICE_ACCOUNT',
  'HTTP_PROXY_PORT',
  'MESH_ID',
  'CLUSTER_ID',
  'NETWORK',
  'REQUESTED_NETWORK_VIEW',
  'TLS_SERVER_CERT_CHAIN',
  'TLS_SERVER_KEY',
  'TLS_SERVER_ROOT_CERT',
  'TLS_CLIENT_CERT_CHAIN',
  'TLS_CLIENT_KEY',
  'TLS_CLIENT_ROOT_CERT',
  'BASE',
  'IDLE_TIMEOUT',
  'HTTP10',
  'GENERATOR',
  'DNS_PROXY_ADDR',
  'AUTO_REGISTER_GROUP',
  'WORKLOAD_ENTRY',
  'UNPRIVILEGED_POD',
  'CLOUDRUN_ADDR',
  'STS_PORT',
] as const;

const booleanKeys = [
  'ENABLE_SELF_DISCOVERY',
  'DNS_CAPTURE',
  'DNS_AUTO_ALLOCATE',
  'ENABLE_HBONE',
  'DISABLE_HBONE_SEND',
  'INBOUND_LISTENER_EXACT_BALANCE',
  'OUTBOUND_LISTENER_EXACT_BALANCE',
] as const;

/**
 * Composes the node.
 * @throws if a value given by environment cannot be read (a boolean, POD_PORTS).
 */
export function buildNode(sources: NodeSources): Node {
  const raw = collectRaw(sources);
  const typed: Record<string, Json> = {};
  for (const key of stringKeys) if (typeof raw[key] === 'string') typed[key] = raw[key];
  for (const key of booleanKeys) if (raw[key] !== undefined && readBoolean(key, raw[key])) typed[key] = 'true';
  const podPorts = raw.POD_PORTS === undefined ? '[]' : readPodPorts(raw.POD_PORTS);
  // An empty list counts as absent, so that the text of the environment stays as it is.
  if (podPorts !== '[]') typed.POD_PORTS = podPorts;
  Object.assign(typed, computeIdentity(sources, typed), computePorts(sources, typed));
  const labels = collectLabels(sources);
  const localityText = sanitizeLocality(labels.all['topology.istio.io/locality'] ?? labels.all['istio-locality'] ?? '');
  if (localityText !== '') labels.all['istio-locality'] = localityText;
  typed.LABELS = labels.all;
  typed.STATIC_LABELS = labels.own;
  typed.ANNOTATIONS = { ...((raw.ANNOTATIONS as JsonObject | undefined) ?? {}), ...sources.podAnnotations };
  typed.PLATFORM_METADATA = sources.platform?.metadata ?? {};
  for (const [key, value] of Object.entries(typed)) if (isEmpty(value)) delete typed[key];
  if (sources.credentialSocketExists) raw.credential = 'true';
  if (sources.servesOnlyFiles) raw['file-credential'] = 'true';
  const locality = localityText === '' ? (sources.platform?.locality ?? {}) : splitLocality(localityText);
  return { id: sources.id, locality, typed, raw };
}

/** What the bootstrap file says: a typed key wins over what the environment said. */
export function mergeMetadata(node: Node): JsonObject {
  return { ...node.raw, ...node.typed };
}

function collectRaw({ environment, proxyConfig }: NodeSources): Record<string, Json> {
  const raw: Record<string, Json> = {};
  for (const [name, value] of Object.entries(proxyConfig.proxyMetadata ?? {})) {
    if (name.startsWith('ISTIO_META_')) raw[name.slice('ISTIO_META_'.length)] = value;
  }
  const variables = Object.entries(environment.variables).filter(([, value]) => value !== undefined) as [string, string][];
  for (const [name, value] of variables) {
    if (name.startsWith('ISTIO_META_')) raw[name.slice('ISTIO_META_'.length)] = value;
  }
  for (const [name, value] of variables) {
    if (name.startsWith('ISTIO_METAJSON_')) Object.assign(raw, parseObject(name, value));
  }
  const dnsAddress = environment.variables.DNS_PROXY_ADDR ?? '';
  if (dnsAddress !== '') raw.DNS_PROXY_ADDR = dnsAddress;
  return raw;
}

function parseObject(name: string, text: string): JsonObject {
  try {
    const value: unknown = JSON.parse(text);
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) return value as JsonObject;
  } catch {
    // Reported below.
  }
  log.warn(`Env variable ${name} [${text}] failed json unmarshal`);
  return {};
}

function readBoolean(key: string, value: Json): boolean {
  if (typeof value === 'string' && /^(1|t|T|TRUE|true|True)$/.test(value)) return true;
  if (typeof value === 'string' && /^(0|f|F|FALSE|false|False)$/.test(value)) return false;
  throw new Error(`invalid boolean ${JSON.stringify(value)} of metadata ${key}`);
}

/** The injection template writes the list over several lines; istiod gets it on one. */
function readPodPorts(value: Json): string {
  const ports = JSON.parse(String(value)) as readonly { name?: string; containerPort?: number; protocol?: string }[];
  return JSON.stringify(
    ports.map(port => ({
      ...(port.name === undefined || port.name === '' ? {} : { name: port.name }),
      containerPort: port.containerPort ?? 0,
      protocol: port.protocol ?? '',
    })),
  );
}

function computeIdentity(sources: NodeSources, typed: JsonObject): JsonObject {
  const { environment } = sources;
  const identity: Record<string, Json> = {
    ISTIO_VERSION: typed.ISTIO_VERSION === undefined || typed.ISTIO_VERSION === '' ? istioVersion : typed.ISTIO_VERSION,
    INSTANCE_IPS: sources.addresses.join(','),
    PROXY_CONFIG: sources.proxyConfig,
    PILOT_SAN: sources.pilotSubjectAltNames,
    OUTLIER_LOG_PATH: sources.outlierLogPath,
  };
  for (const [key, name] of [
    ['NAME', 'POD_NAME'],
    ['NAMESPACE', 'POD_NAMESPACE'],
    ['SERVICE_ACCOUNT', 'SERVICE_ACCOUNT'],
  ]) {
    const value = environment.variables[name];
    if (value !== undefined) identity[key] = value;
  }
  if (sources.stsPort !== 0) identity.STS_PORT = String(sources.stsPort);
  return identity;
}

function computePorts({ environment }: NodeSources, typed: JsonObject): JsonObject {
  return {
    ENVOY_STATUS_PORT: environment.envoyStatusPort,
    ENVOY_PROMETHEUS_PORT: environment.envoyPrometheusPort,
    ENVOY_SECURE_METRICS_PORT: environment.envoySecureMetricsPort,
    ENVOY_SECURE_MERGED_METRICS_PORT: environment.envoySecureMergedMetricsPort,
    EXIT_ON_ZERO_ACTIVE_CONNECTIONS: environment.exitOnZeroActiveConnections ? 'true' : '',
    ENVOY_SKIP_DEPRECATED_LOGS: environment.envoySkipDeprecatedLogs ? 'true' : '',
    METADATA_DISCOVERY: String(environment.peerMetadataDiscovery ?? typed.ENABLE_HBONE === 'true'),
    WORKLOAD_IDENTITY_SOCKET_FILE: environment.workloadIdentitySocketFile,
  };
}

function collectLabels({ environment, podLabels }: NodeSources): { all: Record<string, string>; own: StringMap } {
  const text = environment.variables.ISTIO_METAJSON_LABELS;
  const own = text === undefined ? {} : (parseObject('ISTIO_METAJSON_LABELS', text) as StringMap);
  const all: Record<string, string> = { ...own, ...podLabels };
  // The hash differs between the pods of one workload and says nothing about it.
  if (podLabels?.['pod-template-hash'] !== undefined) delete all['pod-template-hash'];
  return { all, own };
}

function sanitizeLocality(label: string): string {
  return label.includes('/') ? label : label.replaceAll('.', '/');
}

function splitLocality(text: string): Locality {
  const [region, zone, subZone] = text.split('/');
  return Object.fromEntries(Object.entries({ region, zone, subZone }).filter(([, part]) => part !== undefined && part !== ''));
}

function isEmpty(value: Json): boolean {
  if (value === '' || value === 0) return true;
  return value !== null && typeof value === 'object' && Object.keys(value).length === 0;
}
