/** An admin context over plain data, and requests to the server that serves it. */
import type { Test } from 'tap';
import { encodeMessage, type MessageName, type MessageTypes, type Partially } from '../../../../protos/messages.ts';
import { decodeMessage } from '../../../../protos/messages.ts';
import { readJsonMessage } from '../../../../protos/json-reader.ts';
import type { AdminCluster, AdminContext, AdminHost } from '../../../../proxy/admin/admin-context.ts';
import { startAdmin } from '../../../../proxy/admin/admin-server.ts';
import type { ClusterModel, HostModel } from '../../../../proxy/config/model/cluster.ts';
import { StatsMerger } from '../../../../proxy/telemetry/stats-merger.ts';
import { defaultHistogramBounds } from '../../../../proxy/telemetry/stats-matcher.ts';
import { StatsStore } from '../../../../proxy/telemetry/stats-store.ts';
import { TagExtractor } from '../../../../proxy/telemetry/tag-extractor.ts';
import { ResourceStore } from '../../../../proxy/xds/resource-store.ts';
import { noSuccessRates } from '../../../../proxy/upstream/success-rate.ts';

export const pushTimeMs = Date.UTC(2026, 0, 2, 3, 4, 5, 678);

/** Encodes a message given as ProtoJSON. */
export function encodeJson<N extends MessageName>(name: N, json: object): Buffer {
  return encodeMessage(name, readJsonMessage(name, json, { onUnknownField: null }) as Partially<MessageTypes[N]>);
}

export interface AdminFixture {
  readonly context: AdminContext;
  readonly stats: StatsStore;
  readonly calls: string[];
  readonly clusters: AdminCluster[];
  get(path: string): Promise<{ status: number; type: string | null; body: string }>;
  post(path: string, body?: string): Promise<{ status: number; type: string | null; body: string }>;
}

export async function startFixture(t: Test, overrides: Partial<AdminContext> = {}): Promise<AdminFixture> {
  const merger = new StatsMerger({
    tagExtractor: new TagExtractor({ useAllDefaultTags: true, tags: [] }),
    histogramBounds: () => defaultHistogramBounds,
  });
  const stats = new StatsStore({
    isIncluded: () => true,
    sink: merger.createSink(),
  });
  const calls: string[] = [];
  const clusters: AdminCluster[] = [];
  const bootstrap = encodeJson('envoy.config.bootstrap.v3.Bootstrap', {
    node: { id: 'n', cluster: 'c', metadata: { ISTIO_VERSION: '1.31.0' }, locality: { region: 'r' } },
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
  });
  const context: AdminContext = {
    address: { kind: 'socket', address: '127.0.0.1', port: 0 },
    accessLogs: [],
    bootstrap: decodeMessage('envoy.config.bootstrap.v3.Bootstrap', bootstrap),
    bootstrapLoadedMs: pushTimeMs,
    commandLineOptions: { concurrency: 2 },
    resources: new ResourceStore(),
    versionInfo: kind => (kind === 'cluster' ? 'v1' : 'l1'),
    stats: merger,
    clusters: { list: () => clusters },
    listeners: { list: () => [] },
    secrets: { list: () => [] },
    runtime: { hasAdminLayer: false, layers: [], values: {}, modify: () => {} },
    server: {
      state: 'LIVE',
      startTimeMs: Date.now(),
      listUnready: () => [],
      quit: () => calls.push('quit'),
      setHealthCheckFailed: failed => calls.push(`health check failed: ${failed}`),
      drainListeners: options => calls.push(`drain ${JSON.stringify(options)}`),
      setLogLevels: (level, components) => calls.push(`log ${level} ${JSON.stringify(components)}`),
      reopenLogs: () => calls.push('reopen'),
    },
    ...overrides,
  };
  const server = await startAdmin(context);
  t.teardown(() => server.close());
  const request = async (path: string, init: RequestInit) => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`, init);
    return { status: response.status, type: response.headers.get('content-type'), body: await response.text() };
  };
  return {
    context,
    stats,
    calls,
    clusters,
    get: path => request(path, {}),
    post: (path, body) => request(path, { method: 'POST', body }),
  };
}

const noCounts = {
  connectionsActive: 0,
  connectionsTotal: 0,
  connectFailures: 0,
  requestsActive: 0,
  requestsTotal: 0,
  requestsSucceeded: 0,
  requestsFailed: 0,
  requestsTimedOut: 0,
};

export function makeHost(host: Partial<HostModel> & Pick<HostModel, 'address'>, entry: Partial<AdminHost> = {}): AdminHost {
  return {
    host: { slot: -1, additionalAddresses: [], hostname: '', weight: 1, health: 'unknown', metadata: {}, ...host },
    locality: { region: '', zone: '', subZone: '' },
    localityWeight: 0,
    priority: 0,
    ejected: false,
    counters: noCounts,
    ...entry,
  };
}

const limits = { maxConnections: 1024, maxPendingRequests: 1024, maxRequests: 1024, maxRetries: 3 };

/** Only the fields that the admin API reads. */
export function makeCluster(
  model: Partial<ClusterModel> & Pick<ClusterModel, 'name'>,
  hosts: AdminHost[],
  addedViaApi = true,
): AdminCluster {
  const full = {
    statName: model.name,
    discovery: { kind: 'static' },
    circuitBreakers: [limits, limits],
    outlierDetection: null,
    loadBalancer: { overprovisioningFactor: 140 },
    ...model,
  };
  const successRates = full.outlierDetection === null ? null : { external: noSuccessRates, local: noSuccessRates };
  return { model: full as unknown as ClusterModel, addedViaApi, hosts, successRates };
}
