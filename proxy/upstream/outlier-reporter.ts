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
  if (status < 500) {
    hostCounters.endRun(host.slot, SharedHostField.consecutive5xx);
    hostCounters.endRun(host.slot, SharedHostField.consecutiveGatewayFailures);
    return;
  }
  extendRun(host, SharedHostField.consecutive5xx, model.consecutive5xx, 'consecutive-5xx');
  if (status >= 502 && status <= 504) {
    const threshold = model.consecutiveGatewayFailure;
    extendRun(host, SharedHostField.consecutiveGatewayFailures, threshold, 'consecutive-gateway-failure');
  } else {
    hostCounters.endRun(host.slot, SharedHostField.consecutiveGatewayFailures);
  }
}

/** Takes one result. Local origin events count as 5xx (503, a timeout 504) unless the cluster keeps them apart. */
export function reportHostResult(host: WorkerHost, result: HostResult): void {
  if (result.kind === 'request-timeout') host.count(HostField.requestsTimedOut, 1);
  const model = host.cluster.model.outlierDetection;
  if (model === null || host.slot < 0) return;
  if (result.kind === 'response') {
    reportStatus(host, model, result.status);
    return;
  }
  const succeeded = result.kind === 'connect-success';
  if (!model.splitExternalLocalOriginErrors) {
    // A connection alone does not end a run of bad responses.
    if (!succeeded) reportStatus(host, model, result.kind === 'request-timeout' ? 504 : 503);
    return;
  }
  const field = SharedHostField.consecutiveLocalOriginFailures;
  if (succeeded) host.cluster.services.hostCounters.endRun(host.slot, field);
  else extendRun(host, field, model.consecutiveLocalOriginFailure, 'consecutive-local-origin-failure');
}
