/**
 * What the agent's process costs, for its metrics. The names are those of Prometheus' process collector, and of its Go collector
 * where Node has the same thing; Node's own begin with `nodejs_`.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';

export type Reading = readonly [name: string, help: string, read: () => number];

function readCpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** A field of a `name: value` file of /proc; NaN if it is not there. */
function readProcField(path: string, name: string): number {
  try {
    const line = readFileSync(path, 'utf8')
      .split('\n')
      .find(candidate => candidate.startsWith(name));
    return Number(/(\d+)/.exec(line?.slice(name.length) ?? '')?.[1]);
  } catch {
    return Number.NaN;
  }
}

function countDescriptors(): number {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return Number.NaN;
  }
}

const status = '/proc/self/status';

export const processReadings: readonly Reading[] = [
  ['process_cpu_seconds_total', 'Total user and system CPU time spent in seconds.', readCpuSeconds],
  ['process_max_fds', 'Maximum number of open file descriptors.', () => readProcField('/proc/self/limits', 'Max open files')],
  ['process_open_fds', 'Number of open file descriptors.', countDescriptors],
  ['process_resident_memory_bytes', 'Resident memory size in bytes.', () => process.memoryUsage.rss()],
  ['process_start_time_seconds', 'Start time of the process since unix epoch in seconds.', () => performance.timeOrigin / 1000],
  ['process_virtual_memory_bytes', 'Virtual memory size in bytes.', () => readProcField(status, 'VmSize') * 1024],
  ['go_threads', 'Number of OS threads.', () => readProcField(status, 'Threads')],
  ['go_memstats_heap_alloc_bytes', 'Bytes of the heap in use, of JavaScript.', () => process.memoryUsage().heapUsed],
  [
    'go_memstats_heap_sys_bytes',
    'Bytes of the heap obtained from the system, of JavaScript.',
    () => process.memoryUsage().heapTotal,
  ],
  ['nodejs_external_memory_bytes', 'Memory outside the heap that JavaScript objects hold.', () => process.memoryUsage().external],
  [
    'nodejs_active_resources',
    'What keeps the event loop alive: sockets, timers, requests.',
    () => process.getActiveResourcesInfo().length,
  ],
  [
    'nodejs_eventloop_utilization',
    'Share of its life in which the event loop was busy, from 0 to 1.',
    () => performance.eventLoopUtilization().utilization,
  ],
];
