/** What a process cost so far, from /proc. */
import { readdirSync, readFileSync } from 'node:fs';

/** CPU seconds, user and system, of the threads that live. */
export function cpuSeconds(pid: number): number {
  let nanoseconds = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    nanoseconds += threadNanoseconds(`/proc/${pid}/task/${thread}/schedstat`);
  }
  return nanoseconds / 1e9;
}

/** CPU time of a thread, from its file `schedstat`. */
export function threadNanoseconds(file: string): number {
  try {
    return Number(readFileSync(file, 'utf8').split(' ')[0]);
  } catch {
    // It ended meanwhile.
    return 0;
  }
}

/** Resident memory in MiB. */
export function residentMiB(pid: number): number {
  const match = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return match === null ? Number.NaN : Number(match[1]) / 1024;
}

/** Resident memory that belongs to the process alone, in KiB. */
export function anonymousKiB(pid: number): number {
  return Number(/RssAnon:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}
