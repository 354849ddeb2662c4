/**
 * How the work of several workers spreads: connections over workers, requests over hosts. With few connections a proxy may leave
 * workers idle, and workers that balance each for themselves may favour one host.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { getAdmin } from '../test/support/proxy-process.ts';
import type { BenchCase } from './cases.ts';
import { runLoad } from './load/load.ts';
import { type Options, targetOf } from './measurement.ts';
import { cpuSeconds, threadNanoseconds } from './process-cost.ts';
import type { Subject } from './subjects.ts';

export interface SpreadSample {
  readonly proxy: string;
  readonly connections: number;
  readonly requestsPerCpuSecond: number;
  /** Of the workers' CPU time, what the busiest one used: 1 if it did everything, 0.5 of two if they share. */
  readonly busiestWorker: number;
  /** Of the requests, what the busiest host got. */
  readonly busiestHost: number;
}

export async function measureSpread(benchCase: BenchCase, subject: Subject, options: Options): Promise<SpreadSample> {
  const { pid, adminPort, name } = subject;
  const before = { cpu: cpuSeconds(pid), workers: workerNanoseconds(pid), hosts: await hostRequests(adminPort) };
  const load = await runLoad(benchCase, { ...targetOf(benchCase, subject, options), connections: options.connections });
  const workers = workerNanoseconds(pid).map((nanoseconds, i) => nanoseconds - before.workers[i]);
  const hosts = (await hostRequests(adminPort)).map((requests, i) => requests - before.hosts[i]);
  return {
    proxy: name,
    connections: options.connections,
    requestsPerCpuSecond: load.requests / (cpuSeconds(pid) - before.cpu),
    busiestWorker: shareOfBusiest(workers),
    busiestHost: shareOfBusiest(hosts),
  };
}

function shareOfBusiest(values: readonly number[]): number {
  return Math.max(...values) / values.reduce((sum, value) => sum + value, 0);
}

/** Envoy's name for the threads of its workers, and this proxy's. */
const workerName = /^wrk:worker_\d+$/;

function workerNanoseconds(pid: number): number[] {
  const threads = readdirSync(`/proc/${pid}/task`).map(thread => `/proc/${pid}/task/${thread}`);
  const workers = threads.filter(thread => workerName.test(readFileSync(`${thread}/comm`, 'utf8').trim()));
  return workers.map(thread => threadNanoseconds(`${thread}/schedstat`));
}

async function hostRequests(adminPort: number): Promise<number[]> {
  const clusters = await getAdmin(adminPort, '/clusters');
  return [...clusters.matchAll(/^upstream::[^:]+:\d+::rq_total::(\d+)$/gm)].map(match => Number(match[1]));
}

export function renderSpread(benchCase: BenchCase, samples: readonly SpreadSample[]): string {
  const lines = [
    `${benchCase.name}: ${benchCase.description}`,
    '  connections  proxy        requests per CPU second   share of the busiest worker   share of the busiest host',
  ];
  for (const { connections, proxy, requestsPerCpuSecond, busiestWorker, busiestHost } of samples) {
    const cells = [
      String(connections).padStart(11),
      ` ${proxy.padEnd(12)}`,
      requestsPerCpuSecond.toFixed(0).padStart(23),
      formatShare(busiestWorker).padStart(29),
      formatShare(busiestHost).padStart(27),
    ];
    lines.push(`  ${cells.join(' ')}`);
  }
  return lines.join('\n');
}

function formatShare(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}
