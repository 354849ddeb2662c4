/** One round of one case on one proxy. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { BenchCase } from './cases.ts';
import { loadCore } from './environment.ts';
import { checkGrpc } from './load/fortio.ts';
import { type LoadResult, type LoadTarget, runLoad, runLoadAtRate } from './load/load.ts';
import { anonymousKiB, cpuSeconds, residentMiB } from './process-cost.ts';
import type { Sample } from './report.ts';
import type { Subject } from './subjects.ts';

export interface Options {
  readonly rounds: number;
  readonly seconds: number;
  readonly connections: number;
  /** For files of the load. */
  readonly folder: string;
}

/** V8 has compiled by then what it will; Envoy gets as long. */
const warmUpSeconds = 5;

export function targetOf(benchCase: BenchCase, { port }: Subject, { connections, seconds, folder }: Options): LoadTarget {
  return { port, connections: benchCase.connections ?? connections, seconds, folder };
}

export async function warmUp(benchCase: BenchCase, subject: Subject, options: Options): Promise<void> {
  if (benchCase.protocol === 'grpc') await checkGrpc(subject.port);
  await runLoad(benchCase, targetOf(benchCase, subject, { ...options, seconds: warmUpSeconds }));
}

/** Closed-loop load: what it costs, and how much fits through. */
export function measureLoad(benchCase: BenchCase, subject: Subject, options: Options): Promise<Sample> {
  return measure(subject, () => runLoad(benchCase, targetOf(benchCase, subject, options)));
}

/** Load at one rate. */
export async function measureAtRate(benchCase: BenchCase, subject: Subject, options: Options, rate: number): Promise<Sample> {
  const sample = await measure(subject, () => runLoadAtRate(benchCase, targetOf(benchCase, subject, options), rate));
  return { ...sample, rate };
}

async function measure({ name, pid }: Subject, run: () => Promise<LoadResult>): Promise<Sample> {
  const before = cpuSeconds(pid);
  const load = await run();
  const cpu = cpuSeconds(pid) - before;
  if (load.requests === 0 || load.errors > 0) throw new Error(`${name}: ${load.requests} requests, ${load.errors} errors`);
  return {
    proxy: name,
    cost: (cpu * 1e6) / load.requests,
    requestsPerSecond: load.requests / load.seconds,
    p50Ms: load.p50Ms,
    p90Ms: load.p90Ms,
    p99Ms: load.p99Ms,
    residentMiB: residentMiB(pid),
  };
}

/** Connections to bring up what is allocated once. */
const firstConnections = 200;
/** V8 collects at last what an idle thread left behind. */
const settleMs = 15_000;

/** Anonymous memory per idle connection, in KiB. */
export async function measureIdle(benchCase: BenchCase, { name, pid, port }: Subject): Promise<Sample> {
  const count = benchCase.idleConnections as number;
  const first = await holdConnections(benchCase, port, firstConnections);
  await wait(settleMs);
  const before = anonymousKiB(pid);
  const rest = await holdConnections(benchCase, port, count);
  await wait(settleMs);
  const cost = (anonymousKiB(pid) - before) / count;
  first.kill();
  rest.kill();
  return {
    proxy: name,
    cost,
    requestsPerSecond: Number.NaN,
    p50Ms: Number.NaN,
    p90Ms: Number.NaN,
    p99Ms: Number.NaN,
    residentMiB: residentMiB(pid),
  };
}

async function holdConnections({ entry }: BenchCase, port: number, count: number) {
  const script = join(import.meta.dirname, 'idle-clients.ts');
  const args = ['-c', String(loadCore), process.execPath, script, String(port), String(count), entry];
  const child = spawn('taskset', args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const [answered] = await Promise.race([once(child.stdout, 'data'), once(child, 'exit')]);
  if (Number(answered) !== count) throw new Error(`only ${answered} of ${count} idle connections`);
  return child;
}
