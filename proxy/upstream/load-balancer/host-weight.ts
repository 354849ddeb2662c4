/** Weights as the balancers see them: configured, divided by load, reduced while a host warms up. */
import type { LoadBalancerModel } from '../../config/model/cluster.ts';
import type { BalancedHost } from './balanced-host.ts';

export type WeightOf = (host: BalancedHost) => number;

type SlowStart = NonNullable<LoadBalancerModel['slowStart']>;

/** Source: Envoy's slow start: (time / window) ^ (1 / aggression), at least the minimum. */
function slowStartFactor(slowStart: SlowStart, host: BalancedHost, nowMs: number): number {
  const ageMs = nowMs - host.healthySinceMs;
  if (ageMs >= slowStart.windowMs) return 1;
  const timeFactor = Math.max(1, ageMs) / slowStart.windowMs;
  return Math.max(slowStart.minWeightPercent / 100, timeFactor ** (1 / slowStart.aggression));
}

/** True if any host is still warming up, so that equal configured weights are not equal. */
export function isAnyInSlowStart(hosts: readonly BalancedHost[], slowStart: SlowStart | null, nowMs: number): boolean {
  return slowStart !== null && hosts.some(host => nowMs - host.healthySinceMs < slowStart.windowMs);
}

export function areWeightsEqual(hosts: readonly BalancedHost[]): boolean {
  return hosts.every(host => host.weight === hosts[0].weight);
}

/** The weight for scheduling: least request divides by (active + 1) ^ bias. */
export function compileWeight(model: LoadBalancerModel, now: () => number): WeightOf {
  const { slowStart, activeRequestBias } = model;
  const leastRequest = model.policy === 'least-request' && activeRequestBias !== 0;
  return host => {
    let weight = host.weight;
    if (leastRequest) {
      const load = host.activeRequests + 1;
      weight /= activeRequestBias === 1 ? load : load ** activeRequestBias;
    }
    return slowStart === null ? weight : weight * slowStartFactor(slowStart, host, now());
  };
}
