/** Names of the threads that serve connections, as Envoy gives them. */

const prefix = 'wrk:worker_';

export function nameWorker(index: number): string {
  return `${prefix}${index}`;
}

export function isWorkerName(threadName: string): boolean {
  return threadName.startsWith(prefix);
}
