/** The load: wrk for everything but full TLS handshakes, for which h2load gives each client its own session. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { BenchCase } from './cases.ts';
import { loadCore } from './environment.ts';

export interface LoadResult {
  readonly requests: number;
  readonly errors: number;
  readonly seconds: number;
  /** NaN where the tool does not tell. */
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Clients of one h2load: enough to amortize its start, few enough for a listen backlog. */
const handshakesPerRun = 200;

/** Closed-loop load on a local port. */
export function runLoad(benchCase: BenchCase, port: number, connections: number, seconds: number): Promise<LoadResult> {
  if (benchCase.newConnections && benchCase.entry === 'tls') return runHandshakes(port, seconds);
  return runWrk(benchCase, port, benchCase.connections ?? connections, seconds);
}

/** The path that nginx serves with as many bytes; see upstream.ts. */
function pathOf({ body }: BenchCase): string {
  return body?.direction === 'response' ? `/${body.bytes}` : '/';
}

async function runWrk(benchCase: BenchCase, port: number, connections: number, seconds: number): Promise<LoadResult> {
  const { body } = benchCase;
  const args = ['wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '--latency'];
  if (benchCase.newConnections) args.push('-H', 'connection: close');
  if (body?.direction === 'request') args.push('-s', join(import.meta.dirname, 'post.lua'));
  args.push(`http://127.0.0.1:${port}${pathOf(benchCase)}`);
  if (body?.direction === 'request') args.push('--', String(body.bytes));
  const output = await runOnLoadCore(args);
  const number = (pattern: RegExp) => Number(pattern.exec(output)?.[1] ?? 0);
  const failures = output.matchAll(/(?:connect|read|write|timeout|responses:) (\d+)/g);
  return {
    requests: number(/(\d+) requests in/),
    errors: [...failures].reduce((sum, match) => sum + Number(match[1]), 0),
    seconds: number(/requests in ([\d.]+)s/),
    p50Ms: milliseconds(/50%\s+([\d.]+)(us|ms|s)/.exec(output)),
    p99Ms: milliseconds(/99%\s+([\d.]+)(us|ms|s)/.exec(output)),
  };
}

async function runHandshakes(port: number, seconds: number): Promise<LoadResult> {
  const began = performance.now();
  const count = String(handshakesPerRun);
  let requests = 0;
  let errors = 0;
  do {
    const output = await runOnLoadCore(['h2load', '--h1', '-n', count, '-c', count, `https://127.0.0.1:${port}/`]);
    const succeeded = Number(/(\d+) succeeded/.exec(output)?.[1] ?? 0);
    requests += succeeded;
    errors += handshakesPerRun - succeeded;
  } while (performance.now() - began < seconds * 1000);
  return { requests, errors, seconds: (performance.now() - began) / 1000, p50Ms: Number.NaN, p99Ms: Number.NaN };
}

async function runOnLoadCore(command: readonly string[]): Promise<string> {
  const child = spawn('taskset', ['-c', String(loadCore), ...command], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', chunk => {
    output += chunk;
  });
  await new Promise(resolve => child.once('close', resolve));
  return output;
}

function milliseconds(match: RegExpExecArray | null): number {
  if (match === null) return Number.NaN;
  return Number(match[1]) * { us: 0.001, ms: 1, s: 1000 }[match[2] as 'us' | 'ms' | 's'];
}
