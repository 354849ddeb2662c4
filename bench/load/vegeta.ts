/** HTTP/1.1 at a fixed rate by vegeta: an open loop, which sends when it is time whatever became of earlier requests. */
import { join } from 'node:path';
import { findTool } from '../environment.ts';
import type { LoadResult, LoadTarget } from './load.ts';
import { runOnLoadCore } from './load-command.ts';

interface Report {
  /** Nanoseconds. */
  readonly latencies: { readonly '50th': number; readonly '90th': number; readonly '99th': number };
  readonly duration: number;
  readonly requests: number;
  readonly success: number;
}

/** `rate` is requests per second. */
export async function runVegeta({ port, connections, seconds, folder }: LoadTarget, rate: number): Promise<LoadResult> {
  const vegeta = findTool('vegeta');
  const results = join(folder, 'vegeta.bin');
  const size = [`-rate=${rate}`, `-duration=${seconds}s`, `-connections=${connections}`, '-timeout=10s'];
  await runOnLoadCore([vegeta, 'attack', ...size, `-output=${results}`], `GET http://127.0.0.1:${port}/\n`);
  const report = JSON.parse(await runOnLoadCore([vegeta, 'report', '-type=json', results])) as Report;
  const succeeded = Math.round(report.requests * report.success);
  return {
    requests: succeeded,
    errors: report.requests - succeeded,
    seconds: report.duration / 1e9,
    p50Ms: report.latencies['50th'] / 1e6,
    p90Ms: report.latencies['90th'] / 1e6,
    p99Ms: report.latencies['99th'] / 1e6,
  };
}
