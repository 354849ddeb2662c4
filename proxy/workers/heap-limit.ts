/** How much memory one thread may use, from the container's limit. */
import { readFileSync } from 'node:fs';

/** Part of the limit for JavaScript heaps; the rest is buffers, code and the native parts. */
const heapShare = 0.7;
const minimumHeapMb = 64;
/** Semi-spaces larger than this cost memory and longer pauses, and save no time. */
const semiSpaceMb = 4;

const limitFiles = ['/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes'];

/** The container's memory limit in bytes; null if there is none. */
export function readMemoryLimit(readFile: (path: string) => string = path => readFileSync(path, 'utf8')): number | null {
  for (const path of limitFiles) {
    try {
      const bytes = Number(readFile(path).trim());
      if (Number.isFinite(bytes) && bytes > 0 && bytes < 2 ** 52) return bytes;
    } catch {
      // Not this kind of cgroup.
    }
  }
  return null;
}

/** `resourceLimits` of a worker among `threads` threads. */
export function workerResourceLimits(
  threads: number,
  limitBytes: number | null,
): { maxYoungGenerationSizeMb: number; maxOldGenerationSizeMb?: number } {
  // Three semi-spaces make a young generation.
  const young = { maxYoungGenerationSizeMb: semiSpaceMb * 3 };
  if (limitBytes === null) return young;
  return { ...young, maxOldGenerationSizeMb: Math.max(minimumHeapMb, Math.floor((limitBytes * heapShare) / threads / 2 ** 20)) };
}
