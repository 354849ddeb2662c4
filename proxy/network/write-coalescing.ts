/**
 * Writes are held back until the event that caused them is over, and then go out with one system call per connection. An
 * event is one read (`dispatchRead`), or whatever runs until the next microtask.
 */

/** A connection with bytes to flush. */
export interface Flushable {
  /** Hands the bytes to the kernel; true if some of them still point into the caller's buffers. */
  flush(): boolean;
}

const waiting: Flushable[] = [];
let dispatchDepth = 0;
let scheduled = false;

/** Notes a connection to be flushed at the end of the current event. The caller notes itself once. */
export function scheduleFlush(connection: Flushable): void {
  waiting.push(connection);
  if (dispatchDepth > 0 || scheduled) return;
  scheduled = true;
  queueMicrotask(flushScheduled);
}

export function beginDispatch(): void {
  dispatchDepth++;
}

/** Ends a dispatch; true if bytes written during it are still referred to by a pending write. */
export function endDispatch(): boolean {
  if (--dispatchDepth > 0) return waiting.length > 0;
  return flushAll();
}

function flushScheduled(): void {
  scheduled = false;
  if (dispatchDepth === 0) flushAll();
}

function flushAll(): boolean {
  let held = false;
  // Flushing may tell watermark observers, who may write again.
  for (let i = 0; i < waiting.length; i++) {
    if (waiting[i].flush()) held = true;
  }
  waiting.length = 0;
  return held;
}
