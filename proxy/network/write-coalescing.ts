/**
 * Writes are held back until the event that caused them is over, and then go out with one system call per connection. An
 * event is one read (`dispatchRead`), or whatever runs until the next microtask.
 */

/** A connection with bytes to flush. */
export interface Flushable {
  /** Hands the bytes to the kernel; true if some of them still point into the caller's buffers. */
  flush(): boolean;
  /** Takes a buffer that waiting bytes point into, to give it back (`returnBuffer`) once they are gone. */
  keep(buffer: Buffer): void;
}

/** Who has bytes that point into the buffer of the read that is being handled. */
export type BufferHolder = Pick<Flushable, 'keep'>;

/** Nobody knows when the last of several is done with a buffer: it is left to the garbage collector. */
const severalHolders: BufferHolder = { keep() {} };

const waiting: Flushable[] = [];
let dispatchDepth = 0;
let scheduled = false;
let isFlushing = false;

/** Notes a connection to be flushed at the end of the current event. The caller notes itself once. */
export function scheduleFlush(connection: Flushable): void {
  waiting.push(connection);
  if (dispatchDepth > 0 || scheduled || isFlushing) return;
  scheduled = true;
  queueMicrotask(flushScheduled);
}

/** Runs once everything that was noted before has been flushed. */
export function runAfterFlush(action: () => void): void {
  scheduleFlush({
    flush() {
      action();
      return false;
    },
    keep() {},
  });
}

export function beginDispatch(): void {
  dispatchDepth++;
}

/** Ends a dispatch; tells who still refers to bytes written during it. */
export function endDispatch(): BufferHolder | null {
  // An event within a flush (of an internal connection) leaves what it wrote to that flush.
  if (--dispatchDepth > 0 || isFlushing) return waiting.length > 0 ? severalHolders : null;
  return flushAll();
}

function flushScheduled(): void {
  scheduled = false;
  if (dispatchDepth === 0 && !isFlushing) flushAll();
}

function flushAll(): BufferHolder | null {
  let holder: BufferHolder | null = null;
  isFlushing = true;
  // Flushing may tell watermark observers, who may write again.
  for (let i = 0; i < waiting.length; i++) {
    const connection = waiting[i];
    if (connection.flush()) holder = holder === null || holder === connection ? connection : severalHolders;
  }
  waiting.length = 0;
  isFlushing = false;
  return holder;
}
