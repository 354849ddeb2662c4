/**
 * The worker's half of outlier detection: runs of failures are counted over all workers in shared memory, and the worker that
 * completes one tells the main thread, which decides (outlier-detector.ts).
 *
 * Source: Envoy's consecutive 5xx, gateway failure and local origin failure detectors.
 */
import type { OutlierDetectionModel } from '../config/model/cluster.ts';
import type { HostResult } from './cluster-manager.ts';
import { HostField, SharedHostField } from './shared-counters.ts';
import type { WorkerHost } from './worker-host.ts';

/** The runs that can end in an ejection. */
export type OutlierRun = 'consecutive-5xx' | 'consecutive-gateway-failure' | 'consecutive-local-origin-failure';

function extendRun(host: WorkerHost, field: SharedHostField, threshold: number, run: OutlierRun): void {
  const { services } = host.cluster;
  // Exactly one thread sees the threshold.
  if (services.hostCounters.extendRun(host.slot, field) !== threshold) return;
  services.hostCounters.endRun(host.slot, field);
  services.report({ type: 'host-result', cluster: host.cluster.name, slot: host.slot, result: run });
}

function reportStatus(host: WorkerHost, model: OutlierDetectionModel, status: number): void {
  const { hostCounters } = host.cluster.services;
  hostCounters.addShared(host.slot, SharedHostField.externalTotal);
  if (status < 500) {
    hostCounters.addShared(host.slot, SharedHostField.externalSucceeded);
    hostCounters.endRun(host.slot, SharedHostField.consecutive5xx);
    hostCounters.endRun(host.slot, SharedHostField.consecutiveGatewayFailures);
    return;
  }
  if (status >= 502 && status <= 504) {
    const threshold = model.consecutiveGatewayFailure;
    extendRun(host, SharedHostField.consecutiveGatewayFailures, threshold, 'consecutive-gateway-failure');
  } else {
    hostCounters.endRun(host.slot, SharedHostField.consecutiveGatewayFailures);
  }
  extendRun(host, SharedHostField.consecutive5xx, model.consecutive5xx, 'consecutive-5xx');
}

function reportLocalOrigin(host: WorkerHost, model: OutlierDetectionModel, succeeded: boolean): void {
  const { hostCounters } = host.cluster.services;
  hostCounters.addShared(host.slot, SharedHostField.localTotal);
  const field = SharedHostField.consecutiveLocalOriginFailures;
  if (succeeded) {
    hostCounters.addShared(host.slot, SharedHostField.localSucceeded);
    hostCounters.endRun(host.slot, field);
  } else extendRun(host, field, model.consecutiveLocalOriginFailure, 'consecutive-local-origin-failure');
}

/** What an event of the local origin counts as where it is not kept apart; 0: nothing, since a response will follow. */
const statusOfEvent: { readonly [K in Exclude<HostResult['kind'], 'response'>]: number } = {
  'connect-success': 0,
  'connect-success-final': 200,
  'connect-failure': 503,
  'connect-timeout': 504,
  'request-timeout': 504,
  reset: 503,
};

/** Takes one result. Local origin events count as responses unless the cluster keeps them apart. */
export function reportHostResult(host: WorkerHost, result: HostResult): void {
  if (result.kind === 'request-timeout') host.count(HostField.requestsTimedOut, 1);
  const model = host.cluster.model.outlierDetection;
  if (model === null || host.slot < 0) return;
  if (result.kind === 'response') {
    reportStatus(host, model, result.status);
    return;
  }
  if (model.splitExternalLocalOriginErrors) {
    reportLocalOrigin(host, model, result.kind === 'connect-success' || result.kind === 'connect-success-final');
    return;
  }
  const status = statusOfEvent[result.kind];
  if (status !== 0) reportStatus(host, model, status);
}
