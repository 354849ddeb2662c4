/** How one host is asked whether it is well. A probe knows a protocol; when it is asked and what follows decides its session. */
import type { HealthCheckModel } from '../../config/model/health-check.ts';
import type { Connection, ConnectionCallbacks } from '../../network/connection.ts';
import type { StatsStore } from '../../telemetry/stats-store.ts';
import { findTransportSocketByCriteria } from '../transport-socket-match.ts';
import type { WorkerHost } from '../worker-host.ts';

/** `network`: no answer could be read. `timeout`: there was none in time. */
export type ProbeFailure = 'answer' | 'network' | 'timeout';

export interface ProbeCallbacks {
  onSuccess(isDegraded: boolean): void;
  /** `isRetriable`: the answer alone does not prove that the host is not well. */
  onFailure(kind: Exclude<ProbeFailure, 'timeout'>, isRetriable: boolean): void;
  /** The host asks to be left out, with a failure. */
  onExcluded(): void;
  onServiceNameCompared(): void;
}

export interface Probe {
  /** Asks once; one of the callbacks follows, unless `abandon` comes first. */
  start(): void;
  /** The answer does not count any more. */
  abandon(): void;
  /** Closes what is open. No callback follows. */
  stop(): void;
}

/** A connection to where the host is checked, with the transport socket that the check asks for. */
export function connectForCheck(host: WorkerHost, model: HealthCheckModel, callbacks: ConnectionCallbacks): Connection {
  const { cluster } = host;
  const { services, model: clusterModel } = cluster;
  const address = host.healthCheckAddress;
  const { transportSocketMatch: criteria } = model;
  return services.connect({
    address,
    bindAddress: cluster.findBindAddress(address),
    socketSetup: clusterModel.socketOptions === undefined ? null : { options: clusterModel.socketOptions },
    transportSocket: criteria === null ? host.transportSocket : findTransportSocketByCriteria(clusterModel, criteria),
    proxyHeader: null,
    alpnOverride: model.alpnProtocols,
    alpnFallback: [],
    serverNameOverride: null,
    subjectAltNameOverride: null,
    passthrough: null,
    keepalive: clusterModel.tcpKeepalive,
    bufferLimitBytes: clusterModel.perConnectionBufferLimitBytes,
    stats: services.stats as StatsStore,
    statPrefix: `cluster.${clusterModel.statName}`,
    callbacks,
  });
}

/** True if the segments are in the text in this order, whatever is between them. */
export function holdsSegments(text: string, segments: readonly string[]): boolean {
  let from = 0;
  for (const segment of segments) {
    const at = text.indexOf(segment, from);
    if (at === -1) return false;
    from = at + segment.length;
  }
  return true;
}
