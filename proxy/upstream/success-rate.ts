/**
 * Statistical outliers of one interval: hosts far below the mean success rate, and hosts above a share of failures.
 *
 * Source: Envoy's DetectorImpl::processSuccessRateEjections.
 */
import type { OutlierDetectionModel } from '../config/model/cluster.ts';

/** Results of one host in one interval. */
export interface HostResults {
  readonly slot: number;
  readonly succeeded: number;
  readonly total: number;
}

export interface SuccessRates {
  /** Percent by slot; hosts with too few results are absent. */
  readonly rates: ReadonlyMap<number, number>;
  /** Mean, and below which a host is an outlier; null: too few hosts had enough results. */
  readonly average: number | null;
  readonly threshold: number | null;
  /** Slots below the threshold. */
  readonly outliers: readonly number[];
  /** Slots whose share of failures is too high. */
  readonly failing: readonly number[];
}

export const noSuccessRates: SuccessRates = { rates: new Map(), average: null, threshold: null, outliers: [], failing: [] };

function successRate({ succeeded, total }: HostResults): number {
  return (100 * succeeded) / total;
}

/** `hosts` are those in service; `hostCount` counts the ejected ones too. */
export function computeSuccessRates(
  hosts: readonly HostResults[],
  hostCount: number,
  model: OutlierDetectionModel,
): SuccessRates {
  if (hostCount < model.successRateMinimumHosts && hostCount < model.failurePercentageMinimumHosts) return noSuccessRates;
  const withAtLeast = (volume: number) => hosts.filter(({ total }) => total >= Math.max(1, volume));
  const shown = withAtLeast(Math.min(model.successRateRequestVolume, model.failurePercentageRequestVolume));
  const rates = new Map(shown.map(host => [host.slot, successRate(host)]));
  const counted = withAtLeast(model.successRateRequestVolume);
  const enough = counted.length > 0 && counted.length >= model.successRateMinimumHosts;
  const limits = enough ? computeThreshold(counted.map(successRate), model.successRateStdevFactor) : null;
  const suspects = withAtLeast(model.failurePercentageRequestVolume);
  const isFailing = (host: HostResults) => 100 - successRate(host) >= model.failurePercentageThreshold;
  return {
    rates,
    average: limits?.average ?? null,
    threshold: limits?.threshold ?? null,
    outliers: limits === null ? [] : counted.filter(host => successRate(host) < limits.threshold).map(({ slot }) => slot),
    failing:
      suspects.length > 0 && suspects.length >= model.failurePercentageMinimumHosts
        ? suspects.filter(isFailing).map(({ slot }) => slot)
        : [],
  };
}

/** Mean - factor x standard deviation; the factor is in thousandths. */
function computeThreshold(rates: readonly number[], factor: number): { readonly average: number; readonly threshold: number } {
  const average = rates.reduce((sum, rate) => sum + rate, 0) / rates.length;
  const variance = rates.reduce((sum, rate) => sum + (rate - average) ** 2, 0) / rates.length;
  return { average, threshold: average - (factor / 1000) * Math.sqrt(variance) };
}
