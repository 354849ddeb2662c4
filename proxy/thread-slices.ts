/**
 * Workers run as soon as they have something to do, also beside threads that compile, collect or read configuration. A thread that
 * wakes would wait for those up to the next tick of the scheduler, 4 ms on many kernels: a busy thread is first entitled to a slice, and
 * only ticks look again. Before threads that asked for longer slices it comes at once, unless it had more than its share of late. They
 * get no less of the processor.
 *
 * Source: sched_setattr(2), `sched_runtime` of SCHED_OTHER: the slice from Linux 6.12 on, without effect before.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Logger } from '../common/log.ts';

const log = new Logger('main');

/** The longest that the kernel takes. */
const backgroundSliceMs = 100;

/** Numbers of sched_setattr and sched_getattr. */
const callNumbers: { readonly [arch: string]: readonly [set: number, get: number] } = { x64: [314, 315], arm64: [274, 275] };
/** `struct sched_attr` as of Linux 5.3; older kernels take what is 0 beyond theirs. */
const attributeBytes = 56;
const runtimeOffset = 24;

/** Reads and writes a thread's `struct sched_attr`; false: the thread is over, or may not. */
export interface SchedulerCalls {
  get(threadId: number, attributes: Buffer): boolean;
  set(threadId: number, attributes: Buffer): boolean;
}

/** @throws where there is no such call. */
export function loadSchedulerCalls(): SchedulerCalls {
  const numbers = callNumbers[process.arch];
  if (numbers === undefined) throw new Error(`no number of sched_setattr for ${process.arch}`);
  const libc = createRequire(import.meta.url)('koffi').load(null);
  const call = libc.func('long syscall(long number, long thread, void *attributes, long size, long flags)');
  const [set, get] = numbers;
  return {
    get: (threadId, attributes) => call(get, threadId, attributes, attributes.length, 0) === 0,
    set: (threadId, attributes) => call(set, threadId, attributes, 0, 0) === 0,
  };
}

/** @returns false if the thread is over or may not. */
function setSlice({ get, set }: SchedulerCalls, threadId: number, sliceMs: number): boolean {
  const attributes = Buffer.alloc(attributeBytes);
  // Policy and nice value stay what they are.
  if (!get(threadId, attributes)) return false;
  attributes.writeBigUInt64LE(BigInt(sliceMs * 1e6), runtimeOffset);
  return set(threadId, attributes);
}

/** Threads of this process by their numbers, with their names. */
export function listThreads(): Map<number, string> {
  const threads = new Map<number, string>();
  for (const id of readdirSync('/proc/self/task')) {
    try {
      threads.set(Number(id), readFileSync(`/proc/self/task/${id}/comm`, 'latin1').trim());
    } catch {
      // Over since then.
    }
  }
  return threads;
}

/** Gives every thread of this process but those that serve connections longer slices. */
export function lengthenBackgroundSlices(servesConnections: (threadName: string) => boolean): void {
  try {
    const calls = loadSchedulerCalls();
    const background = [...listThreads()].filter(([, name]) => !servesConnections(name));
    const refused = background.filter(([id]) => !setSlice(calls, id, backgroundSliceMs));
    if (refused.length > 0) log.debug(() => `slices stay as they are: ${refused.map(([, name]) => name).join(', ')}`);
  } catch (error) {
    log.debug(() => `slices stay as they are: ${(error as Error).message}`);
  }
}
