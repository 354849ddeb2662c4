/** HTTP/1.1 by wrk. */
import { join } from 'node:path';
import type { BenchCase } from '../cases.ts';
import type { LoadResult, LoadTarget } from './load.ts';
import { runOnLoadCore } from './load-command.ts';

/** See `startNginx`. */
export function pathOf({ body }: BenchCase): string {
  if (body === undefined) return '/';
  return body.direction === 'response' ? `/${body.bytes}` : '/upload';
}

export async function runWrk(benchCase: BenchCase, { port, connections, seconds }: LoadTarget): Promise<LoadResult> {
  const { body, entry } = benchCase;
  const args = ['wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '--latency', '--timeout', '10s'];
  if (benchCase.newConnections) args.push('-H', 'connection: close');
  if (body?.direction === 'request') args.push('-s', join(import.meta.dirname, 'post.lua'));
  args.push(`${entry === 'tls' ? 'https' : 'http'}://127.0.0.1:${port}${pathOf(benchCase)}`);
  if (body?.direction === 'request') args.push('--', String(body.bytes));
  return parseWrkOutput(await runOnLoadCore(args));
}

export function parseWrkOutput(output: string): LoadResult {
  const number = (pattern: RegExp) => Number(pattern.exec(output)?.[1] ?? 0);
  const failures = output.matchAll(/(?:connect|read|write|timeout|responses:) (\d+)/g);
  const percentile = (percent: number) => milliseconds(new RegExp(`${percent}%\\s+([\\d.]+)(us|ms|s)`).exec(output));
  return {
    requests: number(/(\d+) requests in/),
    errors: [...failures].reduce((sum, match) => sum + Number(match[1]), 0),
    seconds: number(/requests in ([\d.]+)s/),
    p50Ms: percentile(50),
    p90Ms: percentile(90),
    p99Ms: percentile(99),
  };
}

function milliseconds(match: RegExpExecArray | null): number {
  if (match === null) return Number.NaN;
  return Number(match[1]) * { us: 0.001, ms: 1, s: 1000 }[match[2] as 'us' | 'ms' | 's'];
}
