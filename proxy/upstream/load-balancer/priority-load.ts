/**
 * How much of the traffic each priority gets, in percent, from the share of hosts that can serve; and which priorities are in
 * panic, where health is ignored.
 *
 * Source: Envoy's priority levels, over-provisioning factor and panic threshold.
 */
export interface PriorityHealth {
  readonly total: number;
  readonly healthy: number;
  readonly degraded: number;
}

export interface PriorityLoad {
  /** Percent per priority, for healthy and for degraded hosts; all of them sum up to 100. */
  readonly healthy: readonly number[];
  readonly degraded: readonly number[];
  readonly panic: readonly boolean[];
  /** Percent of each priority's traffic that it could serve, by healthy and by degraded hosts. */
  readonly availability: { readonly healthy: readonly number[]; readonly degraded: readonly number[] };
}

function distribute(load: number[], availability: readonly number[], total: number, normalizedTotal: number): number {
  let remaining = total;
  for (let i = 0; i < availability.length; i++) {
    load[i] = Math.min(remaining, Math.floor((availability[i] * 100) / normalizedTotal));
    remaining -= load[i];
  }
  return remaining;
}

function availabilityPercent(part: number, total: number, overprovisioningFactor: number): number {
  return total === 0 ? 0 : Math.min(100, Math.floor((overprovisioningFactor * part) / total));
}

/** In total panic the load follows the number of hosts. */
function distributeInTotalPanic(priorities: readonly PriorityHealth[]): number[] {
  const all = priorities.reduce((sum, priority) => sum + priority.total, 0);
  const load = priorities.map(priority => (all === 0 ? 0 : Math.floor((100 * priority.total) / all)));
  const first = Math.max(
    0,
    priorities.findIndex(priority => priority.total > 0),
  );
  load[first] += 100 - load.reduce((sum, part) => sum + part, 0);
  return load;
}

/** `panicThreshold` in percent; 0 disables panic. `overprovisioningFactor` in percent, 140 by default. */
export function computePriorityLoad(
  priorities: readonly PriorityHealth[],
  overprovisioningFactor: number,
  panicThreshold: number,
): PriorityLoad {
  const healthy = priorities.map(p => availabilityPercent(p.healthy, p.total, overprovisioningFactor));
  const degraded = priorities.map(p => availabilityPercent(p.degraded, p.total, overprovisioningFactor));
  const normalizedTotal = Math.min(
    100,
    [...healthy, ...degraded].reduce((sum, part) => sum + part, 0),
  );
  const availability = { healthy, degraded };
  const none = priorities.map(() => 0);
  const healthyLoad = [...none];
  const degradedLoad = [...none];
  if (normalizedTotal > 0) {
    const left = distribute(healthyLoad, healthy, 100, normalizedTotal);
    const rounding = distribute(degradedLoad, degraded, left, normalizedTotal);
    const first = healthy.findIndex(part => part > 0);
    if (first >= 0) healthyLoad[first] += rounding;
    else degradedLoad[degraded.findIndex(part => part > 0)] += rounding;
  }
  if (panicThreshold === 0 && normalizedTotal === 0) {
    healthyLoad[0] = 100;
    return { healthy: healthyLoad, degraded: degradedLoad, panic: priorities.map(() => false), availability };
  }
  const panic = priorities.map(
    p => normalizedTotal < 100 && (p.total === 0 ? 0 : (100 * (p.healthy + p.degraded)) / p.total) < panicThreshold,
  );
  if (panic.length > 0 && panic.every(isInPanic => isInPanic)) {
    return { healthy: distributeInTotalPanic(priorities), degraded: none, panic, availability };
  }
  return { healthy: healthyLoad, degraded: degradedLoad, panic, availability };
}

/**
 * The load of a request that has tried some priorities: as if they had no hosts. Null if no other has any: then the original
 * load holds again.
 */
export function excludePriorities(
  load: PriorityLoad,
  tried: readonly number[],
): Pick<PriorityLoad, 'healthy' | 'degraded'> | null {
  const withoutTried = (part: number, priority: number): number => (tried.includes(priority) ? 0 : part);
  const healthy = load.availability.healthy.map(withoutTried);
  const degraded = load.availability.degraded.map(withoutTried);
  const total = Math.min(
    100,
    [...healthy, ...degraded].reduce((sum, part) => sum + part, 0),
  );
  if (total === 0) return null;
  const shares = { healthy: healthy.map(() => 0), degraded: degraded.map(() => 0) };
  const rounding = distribute(shares.degraded, degraded, distribute(shares.healthy, healthy, 100, total), total);
  const first = healthy.findIndex(part => part > 0);
  if (first >= 0) shares.healthy[first] += rounding;
  else shares.degraded[degraded.findIndex(part => part > 0)] += rounding;
  return shares;
}
