/** What discovery and active checks together say of a host. Outlier detection comes on top of it. */
import type { SlottedHostModel } from '../config/model/cluster.ts';
import { HealthFlag, noHealthFlags } from './health/health-flags.ts';

type Found = Pick<SlottedHostModel, 'health' | 'healthFlags'>;

export function readHealth({ health, healthFlags = noHealthFlags }: Found): 'healthy' | 'degraded' | 'unhealthy' {
  if ((healthFlags & HealthFlag.failed) !== 0) return 'unhealthy';
  if (health !== 'healthy' && health !== 'unknown' && health !== 'degraded') return 'unhealthy';
  return health === 'degraded' || (healthFlags & HealthFlag.degraded) !== 0 ? 'degraded' : 'healthy';
}

/** It counts neither as one that serves nor as one that is missing: it drains, waits for its first check, or asked for it. */
export function isExcluded({ health, healthFlags = noHealthFlags }: Found): boolean {
  return health === 'draining' || (healthFlags & (HealthFlag.pending | HealthFlag.excluded)) !== 0;
}
