/** Endpoints of profilers that this build, like Envoy's, does not have, and of lookup tracking, which has no meaning here. */
import type { AdminRequest, AdminResponse } from './endpoint.ts';
import { textResponse } from './endpoint.ts';

export function handleContention(): AdminResponse {
  return textResponse('Mutex contention tracing is not enabled. To enable, run Envoy with flag --enable-mutex-tracing.');
}

export function handleCpuProfiler({ query }: AdminRequest): AdminResponse {
  const enable = query.get('enable');
  if (enable !== 'y' && enable !== 'n') return textResponse('?enable=<y|n>\n', 400);
  return enable === 'y' ? textResponse('failure to start the profiler', 500) : textResponse('OK\n');
}

export function handleUnsupportedProfiler(name: string): AdminResponse {
  return textResponse(`The current build does not support ${name}\n`, 501);
}

export function handleRecentLookups(): AdminResponse {
  return textResponse('Lookup tracking is not enabled. Use /stats/recentlookups/enable to enable.\n\ntotal: 0\n');
}
