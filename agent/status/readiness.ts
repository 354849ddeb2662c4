/**
 * Whether the proxy is ready: it got clusters and listeners once, and once served with started workers. Neither goes back in
 * the life of a proxy, so what was seen once is not asked again.
 *
 * Source: istio.io/istio pilot/cmd/pilot-agent/status/ready.
 */
import { existsSync } from 'node:fs';
import { renderGoDuration } from '../config/duration.ts';
import { listCertificateFiles } from '../identity/certificate-output.ts';
import { requestAdmin } from '../lifecycle/admin-client.ts';
import { AgentLogger } from '../log.ts';
import { agentMetrics } from '../metrics.ts';

const log = new AgentLogger('default');

const readinessTimeoutMs = 3000;
const updateStatsFilter = '^(cluster_manager\\.cds|listener_manager\\.lds)\\.(update_success|update_rejected)$';
const readyStatsFilter = '^(server\\.state|listener_manager\\.workers_started)';
const serverStates = ['LIVE', 'DRAINING', 'PRE_INITIALIZING', 'INITIALIZING'] as const;

/** A check that resolves to the reason why something is not ready, or null if it is. */
export type ReadinessCheck = () => Promise<string | null>;

/** Checks the proxy through its admin interface; after `terminating` it is never ready again. */
export function createProxyCheck(localhost: string, adminPort: number, terminating: AbortSignal): ReadinessCheck {
  let configured = false;
  let live = false;
  const fetchStats = async (filter: string): Promise<string> => {
    // The filter is not escaped: this is what the proxy gets from every agent.
    const path = `/stats?usedonly&filter=${filter}`;
    const { status, body } = await requestAdmin(localhost, adminPort, 'GET', path, readinessTimeoutMs);
    if (status !== 200) throw new Error(`unexpected status ${status}`);
    return body;
  };
  return async () => {
    try {
      if (!configured) {
        const reason = findMissingUpdate(await fetchStats(updateStatsFilter));
        if (reason !== null) return reason;
        configured = true;
      }
    } catch (error) {
      return (error as Error).message;
    }
    if (terminating.aborted) return 'server is terminated';
    if (live) return null;
    try {
      const reason = findMissingState(await fetchStats(readyStatsFilter));
      if (reason !== null) return reason;
    } catch (error) {
      return `failed to get readiness stats: ${(error as Error).message}`;
    }
    live = true;
    log.info(`Readiness succeeded in ${renderGoDuration(process.uptime() * 1000)}`);
    agentMetrics.startupDurationSeconds.set(process.uptime());
    return null;
  };
}

/** Checks that the certificates are there which gRPC's bootstrap file names, for applications that speak xDS themselves. */
export function createGrpcCheck(certificateDirectory: string): ReadinessCheck {
  if (certificateDirectory === '') return async () => null;
  return async () => {
    const missing = listCertificateFiles(certificateDirectory).find(path => !existsSync(path));
    return missing === undefined ? null : `${missing} does not exist`;
  };
}

/** Why the proxy has no configuration yet; null if it has. */
export function findMissingUpdate(stats: string): string | null {
  const read = (name: string): number => readStat(stats, name) ?? 0;
  const cds = { accepted: read('cluster_manager.cds.update_success'), rejected: read('cluster_manager.cds.update_rejected') };
  const lds = { accepted: read('listener_manager.lds.update_success'), rejected: read('listener_manager.lds.update_rejected') };
  if (cds.accepted > 0 && lds.accepted > 0) return null;
  const summary = `cds updates: ${cds.accepted} successful, ${cds.rejected} rejected; lds updates: ${lds.accepted} successful, ${lds.rejected} rejected`;
  if (cds.accepted === 0 && lds.accepted === 0) return `config not received from XDS server (is Istiod running?): ${summary}`;
  if (cds.rejected > 0 || lds.rejected > 0) return `config received from XDS server, but was rejected: ${summary}`;
  return `config not fully received from XDS server: ${summary}`;
}

/** Why the proxy does not serve yet; null if it does. */
export function findMissingState(stats: string): string | null {
  const state = readStat(stats, 'server.state');
  if (state === null) return `failed to get readiness stats: server.state is not yet updated: ${stats}`;
  const started = readStat(stats, 'listener_manager.workers_started');
  if (started === null) return `failed to get readiness stats: listener_manager.workers_started is not yet updated: ${stats}`;
  if (state !== 0) return `server is not live, current state is: ${serverStates[state] ?? 'UNKNOWN'}`;
  return started === 1 ? null : 'workers have not yet started';
}

function readStat(stats: string, name: string): number | null {
  const line = stats.split('\n').find(candidate => candidate.startsWith(name));
  if (line === undefined) return null;
  const value = line.split(':')[1]?.trim() ?? '';
  if (!/^\d+$/.test(value)) throw new Error(`failed parsing Envoy stat ${name} line: ${line}`);
  return Number(value);
}
