/** WebSocket messages by k6. */
import { join } from 'node:path';
import { findTool } from '../environment.ts';
import type { LoadResult, LoadTarget } from './load.ts';
import { runOnLoadCore } from './load-command.ts';

/** A request is a message and its echo. */
export async function runWebSocket({ port, connections, seconds }: LoadTarget): Promise<LoadResult> {
  const settings = { URL: `ws://127.0.0.1:${port}/f`, CONNECTIONS: connections, MILLISECONDS: seconds * 1000 };
  const variables = Object.entries(settings).flatMap(([name, value]) => ['-e', `${name}=${value}`]);
  const quiet = ['--quiet', '--log-output=none', '--no-usage-report', '--address='];
  const script = join(import.meta.dirname, 'websocket.js');
  const output = await runOnLoadCore([findTool('k6'), 'run', ...quiet, ...variables, script]);
  const { answered, failed } = JSON.parse(output) as { answered: number; failed: number };
  const untold = Number.NaN;
  return { requests: answered, errors: failed, seconds, p50Ms: untold, p90Ms: untold, p99Ms: untold };
}
