/**
 * Statistical outliers of one interval: hosts far below the mean success rate, and hosts above a share of failures.
 *
 * Differs from Envoy: errors of the local origin have no success rate of their own where they are split from the others; runs of
 * them eject all the same.
 */
import type { OutlierDetectionModel } from '../config/model/cluster.ts';

/** Results of one host in one interval. */
export interface HostRequests {
  readonly slot: number;
  readonly succeeded: number;
  readonly failed: number;
}

function successRate({ succeeded, failed }: HostRequests): number {
  return (100 * succeeded) / (succeeded + failed);
}

/** Slots whose success rate is below mean - factor x standard deviation, if enough hosts had enough requests. */
export function findSlowestSuccess(hosts: readonly HostRequests[], model: OutlierDetectionModel): number[] {
  if (model.enforcingSuccessRate === 0) return [];
  const valid = hosts.filter(host => host.succeeded + host.failed >= Math.max(1, model.successRateRequestVolume));
  if (valid.length === 0 || valid.length < model.successRateMinimumHosts) return [];
  const rates = valid.map(successRate);
  const mean = rates.reduce((sum, rate) => sum + rate, 0) / rates.length;
  const variance = rates.reduce((sum, rate) => sum + (rate - mean) ** 2, 0) / rates.length;
  const threshold = mean - (model.successRateStdevFactor / 1000) * Math.sqrt(variance);
  return valid.filter((_, index) => rates[index] < threshold).map(host => host.slot);
}

/** Slots whose share of failures reaches the threshold. */
export function findFailingHosts(hosts: readonly HostRequests[], model: OutlierDetectionModel): number[] {
  if (model.enforcingFailurePercentage === 0) return [];
  const valid = hosts.filter(host => host.succeeded + host.failed >= Math.max(1, model.failurePercentageRequestVolume));
  if (valid.length === 0 || valid.length < model.failurePercentageMinimumHosts) return [];
  return valid.filter(host => 100 - successRate(host) >= model.failurePercentageThreshold).map(host => host.slot);
}
