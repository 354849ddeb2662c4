/**
 * One direction through the filters of a stream. Each filter has a slot that remembers where it stopped and what waits behind
 * it; iteration goes on from there. Absent hooks are skipped.
 */
import { HookStatus, type HttpFilter } from './filter.ts';
import type { HeaderMap } from './header-map.ts';

/** What waits at one filter. */
class Slot {
  stopped = false;
  /** While stopped, new data still goes to the filter. */
  takesData = false;
  headers: HeaderMap | null = null;
  chunks: Buffer[] = [];
  bytes = 0;
  ended = false;
  trailers: HeaderMap | null = null;
}

export interface IterationOwner {
  /** False once the direction was given up: nothing is called any more. */
  isIterating(direction: Iteration): boolean;
  /** Bytes wait beyond the limit at a filter that buffers (`overflow`) or that pauses the sender (`pause`). */
  onBufferAboveLimit(direction: Iteration, kind: 'overflow' | 'pause'): void;
  onBufferDrained(direction: Iteration): void;
  readonly bufferLimitBytes: number;
}

export abstract class Iteration {
  readonly #filters: readonly HttpFilter[];
  readonly #owner: IterationOwner;
  #slots: (Slot | null)[] | null = null;
  #paused = false;

  /** @param filters in the order of this direction */
  constructor(filters: readonly HttpFilter[], owner: IterationOwner) {
    this.#filters = filters;
    this.#owner = owner;
  }

  protected abstract hasDataHook(filter: HttpFilter): boolean;
  protected abstract callHeaders(filter: HttpFilter, headers: HeaderMap, endStream: boolean): HookStatus;
  protected abstract callData(filter: HttpFilter, data: Buffer, endStream: boolean): HookStatus;
  protected abstract callTrailers(filter: HttpFilter, trailers: HeaderMap): HookStatus;
  /** Behind the last filter. */
  protected abstract finishHeaders(headers: HeaderMap, endStream: boolean): void;
  protected abstract finishData(data: Buffer, endStream: boolean): void;
  protected abstract finishTrailers(trailers: HeaderMap): void;

  #slot(index: number): Slot {
    this.#slots ??= new Array(this.#filters.length).fill(null);
    let slot = this.#slots[index];
    if (slot === null) {
      slot = new Slot();
      this.#slots[index] = slot;
    }
    return slot;
  }

  passHeaders(headers: HeaderMap, endStream: boolean, from = 0): void {
    for (let i = from; i < this.#filters.length; i++) {
      const status = this.callHeaders(this.#filters[i], headers, endStream);
      if (!this.#owner.isIterating(this)) return;
      if (status === HookStatus.continue) continue;
      const slot = this.#slot(i);
      slot.stopped = true;
      slot.takesData = status === HookStatus.stop;
      slot.headers = headers;
      slot.ended = endStream;
      return;
    }
    this.finishHeaders(headers, endStream);
  }

  passData(data: Buffer, endStream: boolean, from = 0): void {
    for (let i = from; i < this.#filters.length; i++) {
      const filter = this.#filters[i];
      const slot = this.#slots === null ? null : this.#slots[i];
      const stopped = slot?.stopped === true;
      if (stopped && (!slot.takesData || !this.hasDataHook(filter))) {
        this.#hold(i, data, endStream, 'pause');
        return;
      }
      if (!this.hasDataHook(filter)) continue;
      const status = this.callData(filter, data, endStream);
      if (!this.#owner.isIterating(this)) return;
      if (status === HookStatus.continue) {
        if (!stopped) continue;
        this.#hold(i, data, endStream, null);
        this.continueFrom(i);
        return;
      }
      const held = this.#slot(i);
      held.stopped = true;
      held.takesData = true;
      held.ended ||= endStream;
      if (status !== HookStatus.stop) this.#hold(i, data, endStream, status === HookStatus.stopAndBuffer ? 'overflow' : 'pause');
      return;
    }
    this.finishData(data, endStream);
  }

  passTrailers(trailers: HeaderMap, from = 0): void {
    for (let i = from; i < this.#filters.length; i++) {
      const slot = this.#slots === null ? null : this.#slots[i];
      const stopped = slot?.stopped === true;
      const status = stopped && !slot.takesData ? HookStatus.stop : this.callTrailers(this.#filters[i], trailers);
      if (!this.#owner.isIterating(this)) return;
      if (!stopped && status === HookStatus.continue) continue;
      const held = this.#slot(i);
      held.stopped = true;
      held.trailers = trailers;
      if (status === HookStatus.continue) this.continueFrom(i);
      return;
    }
    this.finishTrailers(trailers);
  }

  /** Goes on behind a filter that stopped. */
  continueFrom(index: number): void {
    const slot = this.#slots === null ? null : this.#slots[index];
    if (slot?.stopped !== true || !this.#owner.isIterating(this)) return;
    slot.stopped = false;
    const { headers, trailers, chunks, ended } = slot;
    const data = chunks.length === 0 ? null : chunks.length === 1 ? chunks[0] : Buffer.concat(chunks, slot.bytes);
    slot.headers = null;
    slot.trailers = null;
    slot.chunks = [];
    slot.bytes = 0;
    slot.ended = false;
    if (this.#paused) {
      this.#paused = false;
      this.#owner.onBufferDrained(this);
    }
    if (headers !== null) this.passHeaders(headers, ended && data === null && trailers === null, index + 1);
    if (!this.#owner.isIterating(this)) return;
    if (data !== null) this.passData(data, ended && trailers === null, index + 1);
    else if (headers === null && ended && trailers === null) this.passData(noData, true, index + 1);
    if (trailers !== null && this.#owner.isIterating(this)) this.passTrailers(trailers, index + 1);
  }

  /** Passes bytes on behind a filter that took others. */
  inject(index: number, data: Buffer, endStream: boolean): void {
    if (this.#owner.isIterating(this)) this.passData(data, endStream, index + 1);
  }

  /** Everything that waits at a filter, or null. */
  bufferedAt(index: number): Buffer | null {
    const slot = this.#slots === null ? null : this.#slots[index];
    if (slot === null || slot.chunks.length === 0) return null;
    if (slot.chunks.length > 1) slot.chunks = [Buffer.concat(slot.chunks, slot.bytes)];
    return slot.chunks[0];
  }

  #hold(index: number, data: Buffer, endStream: boolean, whenFull: 'overflow' | 'pause' | null): void {
    const slot = this.#slot(index);
    // The bytes belong to a read buffer that is about to be reused.
    if (data.length > 0) slot.chunks.push(Buffer.from(data));
    slot.bytes += data.length;
    slot.ended ||= endStream;
    const limit = this.#owner.bufferLimitBytes;
    if (whenFull === null || limit === 0 || slot.bytes <= limit) return;
    if (whenFull === 'pause') {
      if (this.#paused) return;
      this.#paused = true;
    }
    this.#owner.onBufferAboveLimit(this, whenFull);
  }
}

const noData = Buffer.alloc(0);
