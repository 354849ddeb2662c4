/**
 * How much of the traffic each priority gets, in percent, from the share of hosts that can serve; and which priorities are in
 * panic, where health is ignored.
 *
 * Source: Envoy's priority levels, over-provisioning factor and panic threshold.
 */
import type { BalancedHost, BalancedPriority } from './balanced-host.ts';
import { listHosts } from './balanced-host.ts';

/** Counts of hosts; excluded ones count only among `all`. */
export interface PriorityHealth {
  readonly total: number;
  readonly healthy: number;
  readonly degraded: number;
  /** Absent: as many as `total`. */
  readonly all?: number;
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
  const sizes = priorities.map(({ all, total }) => all ?? total);
  const sum = sizes.reduce((total, size) => total + size, 0);
  const load = sizes.map(size => (sum === 0 ? 0 : Math.floor((100 * size) / sum)));
  const first = Math.max(
    0,
    sizes.findIndex(size => size > 0),
  );
  load[first] += 100 - load.reduce((total, part) => total + part, 0);
  return load;
}

/** Fewer hosts can serve than the threshold, in percent, says. */
export function isInPanic({ total, healthy, degraded }: PriorityHealth, panicThreshold: number): boolean {
  return (total === 0 ? 0 : (100 * healthy) / total + (100 * degraded) / total) < panicThreshold;
}

export function measureHealth(priority: BalancedPriority<BalancedHost>): PriorityHealth {
  const counts = { all: 0, total: 0, healthy: 0, degraded: 0 };
  for (const host of listHosts(priority)) {
    counts.all++;
    if (host.isExcluded) continue;
    counts.total++;
    if (host.health !== 'unhealthy') counts[host.health]++;
  }
  return counts;
}

export function computeLoadOfPriorities(
  priorities: readonly BalancedPriority<BalancedHost>[],
  overprovisioningFactor: number,
  panicThreshold: number,
): PriorityLoad {
  return computePriorityLoad(priorities.map(measureHealth), overprovisioningFactor, panicThreshold);
}

/** The priority at a point in [0, 100), and whether its healthy or its degraded hosts are meant. */
export function choosePriority(
  { healthy, degraded }: Pick<PriorityLoad, 'healthy' | 'degraded'>,
  point: number,
): { readonly priority: number; readonly availability: 'healthy' | 'degraded' } {
  let sum = 0;
  for (const [availability, shares] of [
    ['healthy', healthy],
    ['degraded', degraded],
  ] as const) {
    for (let priority = 0; priority < shares.length; priority++) {
      sum += shares[priority];
      if (point < sum) return { priority, availability };
    }
  }
  return { priority: 0, availability: 'healthy' };
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
  const panic = priorities.map(priority => normalizedTotal < 100 && isInPanic(priority, panicThreshold));
  if (panic.length > 0 && panic.every(panics => panics)) {
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
