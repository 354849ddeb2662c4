/** `/ready`, `/quitquitquit`, `/healthcheck/*`, `/drain_listeners`, `/reset_counters` and `/reopen_logs`. */
import type { AdminContext } from './admin-context.ts';
import type { AdminRequest, AdminResponse } from './endpoint.ts';
import { okResponse, textResponse } from './endpoint.ts';

export function handleReady({ server }: AdminContext): AdminResponse {
  return textResponse(`${server.state}\n`, server.state === 'LIVE' ? 200 : 503);
}

export function handleQuit({ server }: AdminContext): AdminResponse {
  // After the answer is on its way.
  setImmediate(() => server.quit());
  return okResponse;
}

export function handleHealthCheck({ server }: AdminContext, failed: boolean): AdminResponse {
  server.setHealthCheckFailed(failed);
  return okResponse;
}

export function handleDrainListeners({ query }: AdminRequest, { server }: AdminContext): AdminResponse {
  server.drainListeners({
    graceful: query.has('graceful'),
    skipExit: query.has('skip_exit'),
    inboundOnly: query.has('inboundonly'),
  });
  return okResponse;
}

export function handleResetCounters({ stats }: AdminContext): AdminResponse {
  stats.resetCounters();
  return okResponse;
}

export function handleReopenLogs({ server }: AdminContext): AdminResponse {
  server.reopenLogs();
  return okResponse;
}
