/** Waiting for a condition instead of a time. */
import { setTimeout as sleep } from 'node:timers/promises';

/** @throws if the condition does not hold within the limit. */
export async function waitFor(condition: () => boolean | Promise<boolean>, timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not reached in ${timeoutMs} ms: ${condition}`);
    await sleep(5);
  }
}
