/**
 * An append-only log file with a buffer. Writes never block the thread: the descriptor is non-blocking, and what a full pipe
 * does not take waits in the buffer.
 */
import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs';
import { Timer } from '../../common/timer-wheel.ts';
import type { TimerWheel } from '../../common/timer-wheel.ts';

/** Writes to a pipe up to this size are atomic, so lines of several threads do not mix. */
const pipeWriteBytes = 4096;
/** What waits at most; lines beyond it are dropped and counted. */
const maxBufferedBytes = 8 * 1024 * 1024;

export interface LogFileOptions {
  readonly timers: TimerWheel;
  readonly flushIntervalMs: number;
  /** The buffer is written at once when it holds this many bytes. */
  readonly flushMinBytes: number;
  /** Called once per kind of trouble with the file. */
  readonly onError: (message: string) => void;
}

export class LogFile {
  readonly path: string;
  readonly #options: LogFileOptions;
  readonly #timer: Timer;
  #descriptor = -1;
  #isPipe = false;
  /** Byte text (latin1). */
  #buffer = '';
  #failed = false;
  droppedLines = 0;

  constructor(path: string, options: LogFileOptions) {
    this.path = path;
    this.#options = options;
    this.#timer = new Timer(() => this.#onTimer());
    this.#open();
  }

  /** Appends one line or more, as byte text. */
  write(text: string): void {
    if (this.#buffer.length + text.length > maxBufferedBytes) {
      this.droppedLines++;
      return;
    }
    this.#buffer += text;
    if (this.#buffer.length >= this.#options.flushMinBytes) this.flush();
    if (this.#buffer !== '' && !this.#timer.armed) this.#options.timers.arm(this.#timer, this.#options.flushIntervalMs);
  }

  /** Writes what the file takes now. */
  flush(): void {
    while (this.#buffer !== '') {
      const chunk = this.#nextChunk();
      try {
        const written = writeSync(this.#descriptor, chunk, null, 'latin1');
        this.#buffer = this.#buffer.slice(written);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return;
        this.#fail(`cannot write to ${this.path}: ${(error as Error).message}`);
        this.#buffer = '';
      }
    }
  }

  /** Opens the path anew: after rotation. */
  reopen(): void {
    this.flush();
    this.#close();
    this.#failed = false;
    this.#open();
  }

  close(): void {
    this.flush();
    this.#options.timers.cancel(this.#timer);
    this.#close();
  }

  #nextChunk(): string {
    if (!this.#isPipe || this.#buffer.length <= pipeWriteBytes) return this.#buffer;
    const end = this.#buffer.lastIndexOf('\n', pipeWriteBytes - 1) + 1;
    if (end > 0) return this.#buffer.slice(0, end);
    const lineEnd = this.#buffer.indexOf('\n') + 1;
    return lineEnd > 0 ? this.#buffer.slice(0, lineEnd) : this.#buffer;
  }

  #onTimer(): void {
    this.flush();
    if (this.#buffer !== '') this.#options.timers.arm(this.#timer, this.#options.flushIntervalMs);
  }

  #open(): void {
    const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;
    try {
      this.#descriptor = openSync(this.path, flags, 0o644);
      this.#isPipe = fstatSync(this.#descriptor).isFIFO();
    } catch (error) {
      // A standard stream that is a socket cannot be opened by its path.
      const standard = ['/dev/stdout', '/dev/stderr'].indexOf(this.path);
      if (standard !== -1) this.#descriptor = standard + 1;
      else this.#fail(`unable to open file '${this.path}': ${(error as Error).message}`);
    }
  }

  #close(): void {
    if (this.#descriptor > 2) closeSync(this.#descriptor);
    this.#descriptor = -1;
  }

  #fail(message: string): void {
    if (!this.#failed) this.#options.onError(message);
    this.#failed = true;
  }
}
