/**
 * The effective ProxyConfig: defaults, then the mesh file, PROXY_CONFIG and the pod's annotations, later ones winning.
 *
 * Source: istio.io/istio pilot/cmd/pilot-agent/config and pkg/config/mesh.
 */
import { parse, stringify } from 'yaml';
import { AgentLogger } from '../log.ts';
import type { StringMap } from './downward-api.ts';
import { parseProtoDuration } from './duration.ts';
import { type Json, type JsonObject, readMessage } from './proto-json.ts';
import { proxyConfigTable } from './proxy-config-table.ts';
import { validateProxyConfig } from './proxy-config-validation.ts';

const log = new AgentLogger('default');

export type TlsSettings = {
  readonly mode?: 'SIMPLE' | 'MUTUAL' | 'ISTIO_MUTUAL';
  readonly clientCertificate?: string;
  readonly privateKey?: string;
  readonly caCertificates?: string;
  readonly subjectAltNames?: readonly string[];
  readonly sni?: string;
};

export type RemoteService = {
  readonly address?: string;
  readonly tlsSettings?: TlsSettings;
  readonly tcpKeepalive?: { readonly probes?: number; readonly time?: string; readonly interval?: string };
};

/** An application probe of a workload outside Kubernetes; seconds, counts. */
export type ReadinessProbe = {
  readonly initialDelaySeconds?: number;
  readonly timeoutSeconds?: number;
  readonly periodSeconds?: number;
  readonly successThreshold?: number;
  readonly failureThreshold?: number;
  readonly httpGet?: {
    readonly path?: string;
    readonly port?: number;
    readonly host?: string;
    readonly scheme?: string;
    readonly httpHeaders?: readonly { readonly name?: string; readonly value?: string }[];
  };
  readonly tcpSocket?: { readonly host?: string; readonly port?: number };
  readonly exec?: { readonly command?: readonly string[] };
  readonly grpc?: { readonly port?: number; readonly service?: string };
};

/** The fields that the agent reads, in canonical ProtoJSON; the others travel to istiod unread. Durations are ProtoJSON text. */
export type ProxyConfig = JsonObject & {
  readonly configPath: string;
  readonly binaryPath: string;
  readonly serviceCluster?: string;
  readonly tracingServiceName?: string;
  readonly drainDuration: string;
  readonly terminationDrainDuration?: string;
  readonly discoveryAddress: string;
  readonly statsdUdpAddress?: string;
  readonly proxyAdminPort: number;
  readonly statusPort?: number;
  readonly controlPlaneAuthPolicy?: string;
  readonly customConfigFile?: string;
  readonly proxyBootstrapTemplatePath?: string;
  readonly concurrency?: number;
  readonly tracing?: {
    readonly zipkin?: { readonly address?: string };
    readonly lightstep?: { readonly address?: string; readonly accessToken?: string };
    readonly datadog?: { readonly address?: string };
    readonly tlsSettings?: TlsSettings;
  };
  readonly envoyAccessLogService?: RemoteService;
  readonly envoyMetricsService?: RemoteService;
  readonly proxyMetadata?: StringMap;
  readonly runtimeValues?: StringMap;
  readonly extraStatTags?: readonly string[];
  readonly proxyStatsMatcher?: {
    readonly inclusionPrefixes?: readonly string[];
    readonly inclusionSuffixes?: readonly string[];
    readonly inclusionRegexps?: readonly string[];
  };
  readonly readinessProbe?: ReadinessProbe;
  readonly caCertificatesPem?: readonly string[];
  readonly fileFlushInterval?: string;
  readonly fileFlushMinSizeKb?: number;
  readonly statsCompression?: boolean;
};

const defaultProxyConfig: JsonObject = {
  binaryPath: '/usr/local/bin/envoy',
  configPath: './etc/istio/proxy',
  controlPlaneAuthPolicy: 'MUTUAL_TLS',
  discoveryAddress: 'istiod.istio-system.svc:15012',
  drainDuration: '45s',
  proxyAdminPort: 15000,
  serviceCluster: 'istio-proxy',
  statNameLength: 189,
  statusPort: 15020,
  terminationDrainDuration: '5s',
};

export type ProxyConfigSources = {
  /** Content of the mesh configuration file, empty if there is none. */
  readonly meshFile: string;
  /** PROXY_CONFIG. */
  readonly environment: string;
  readonly annotations: StringMap;
  readonly serviceCluster: string;
  /** `--concurrency`, 0 if not given. */
  readonly concurrency: number;
  /** ISTIO_CPU_LIMIT, 0 if not given. */
  readonly cpuLimit: number;
};

/**
 * Merges and validates.
 * @throws if a source cannot be read or the result is invalid.
 */
export function buildProxyConfig(sources: ProxyConfigSources): ProxyConfig {
  let config = defaultProxyConfig;
  if (sources.meshFile !== '') {
    log.info('Apply mesh config from file');
    config = applyMeshFile(config, sources.meshFile);
  }
  const annotation = sources.annotations['proxy.istio.io/config'] ?? '';
  for (const [name, text] of [
    ['env', sources.environment],
    ['annotation', annotation],
  ]) {
    if (text === '') continue;
    log.info(`Apply proxy config from ${name} ${text}`);
    const source = name === 'env' ? 'environment' : name;
    config = applyProxyConfig(config, text, `failed to unmarshal mesh config from ${source} [${text}]`);
  }
  config = applyConcurrency(config, sources);
  if (config.serviceCluster === '') config = { ...config, serviceCluster: sources.serviceCluster };
  validateProxyConfig(config);
  return applyAnnotations(config, sources.annotations) as ProxyConfig;
}

function applyMeshFile(config: JsonObject, text: string): JsonObject {
  try {
    const mesh = parse(text) as { readonly defaultConfig?: Json } | null;
    const defaultConfig = mesh?.defaultConfig ?? null;
    return defaultConfig === null ? config : mergeProxyConfig(config, defaultConfig);
  } catch (error) {
    throw new Error(`failed to unmarshal mesh config from file [${text}]: ${(error as Error).message}`);
  }
}

function applyProxyConfig(config: JsonObject, text: string, failure: string): JsonObject {
  try {
    return mergeProxyConfig(config, parse(text) as Json);
  } catch (error) {
    throw new Error(`${failure}: could not parse proxy config: ${(error as Error).message}`);
  }
}

const mergedHeaders = ['forwardedClientCert', 'requestId', 'attemptCount', 'server', 'envoyDebugHeaders'] as const;

/** `proxyMetadata` merges by key and `proxyHeaders` by member; every other field replaces. */
function mergeProxyConfig(base: JsonObject, json: Json): JsonObject {
  const onUnknownField = (path: string): void => log.debug(`ignoring unknown field ${path} of the proxy config`);
  const merged = { ...readMessage(proxyConfigTable, base, json, '', { onUnknownField }) } as Record<string, Json>;
  const own = readMessage(proxyConfigTable, {}, json, '', { onUnknownField });
  if (own.tracingServiceName !== undefined) delete merged.serviceCluster;
  else if (own.serviceCluster !== undefined) delete merged.tracingServiceName;
  if (own.proxyMetadata !== undefined) {
    merged.proxyMetadata = { ...(base.proxyMetadata as JsonObject | undefined), ...(own.proxyMetadata as JsonObject) };
  } else if (base.proxyMetadata !== undefined) merged.proxyMetadata = base.proxyMetadata;
  const baseHeaders = base.proxyHeaders as JsonObject | undefined;
  if (own.proxyHeaders !== undefined && baseHeaders !== undefined) {
    const kept = mergedHeaders.filter(name => baseHeaders[name] !== undefined).map(name => [name, baseHeaders[name]] as const);
    merged.proxyHeaders = { ...Object.fromEntries(kept), ...(own.proxyHeaders as JsonObject) };
  }
  return merged;
}

function applyConcurrency(config: JsonObject, sources: ProxyConfigSources): JsonObject {
  if (sources.concurrency !== 0) {
    log.warn(`legacy --concurrency=${sources.concurrency} flag detected; prefer to use ProxyConfig`);
    return { ...config, concurrency: sources.concurrency };
  }
  if (config.concurrency !== undefined || sources.cpuLimit === 0) return config;
  log.info(`cpu limit detected as ${sources.cpuLimit}, setting concurrency`);
  return { ...config, concurrency: sources.cpuLimit };
}

function applyAnnotations(config: JsonObject, annotations: StringMap): JsonObject {
  const changed: Record<string, Json> = { ...config };
  const discoveryAddress = annotations['sidecar.istio.io/discoveryAddress'];
  if (discoveryAddress !== undefined) changed.discoveryAddress = discoveryAddress;
  const statusPort = annotations['status.sidecar.istio.io/port'];
  if (statusPort !== undefined) {
    if (/^[-+]?\d+$/.test(statusPort)) changed.statusPort = Number(statusPort);
    else {
      log.error(`Invalid annotation status.sidecar.istio.io/port=${statusPort}`);
      delete changed.statusPort;
    }
    if (changed.statusPort === 0) delete changed.statusPort;
  }
  return changed;
}

/** YAML with sorted keys, as the agent logs it. */
export function renderProxyConfig(config: ProxyConfig): string {
  return stringify(config, { sortMapEntries: true, lineWidth: 0 });
}

/** A duration field in milliseconds; `defaultMs` if it is absent. */
export function durationMs(text: string | undefined, defaultMs: number): number {
  return text === undefined ? defaultMs : (parseProtoDuration(text) ?? defaultMs);
}
