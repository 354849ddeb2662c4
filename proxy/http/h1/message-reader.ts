/**
 * Cuts a stream of bytes into messages, at any split: gathers heads and trailers, hands bodies on as they come. Both codecs
 * share it; what a head means is their business.
 */
import { BodyParser, BodyState, Framing } from './body-parser.ts';
import { findHeadEnd, type HeadLimits, MessageHead, parseHead, parseHeaderLines } from './head-parser.ts';
import type { HeaderMap } from '../header-map.ts';

const LF = 10;
const CR = 13;
const SP = 32;
const Phase = { head: 0, body: 1, trailers: 2 } as const;

export interface ReaderEvents {
  /** Bytes of a head are there, if only the empty lines before it, but not all; `firstLine` once its end is. */
  onPartialHead(firstLine: string | null): void;
  /** A whole head, without errors; answers how the body is framed. */
  onHead(head: MessageHead): Framing;
  /** A piece of the body, valid during the call; `last` if the message ends with it. */
  onBody(data: Buffer, last: boolean): void;
  /** The message is over. `trailers` is null if there were none; `ended` says that onBody announced the end already. */
  onMessageEnd(trailers: HeaderMap | null, ended: boolean): void;
  /** The message cannot be understood; the reader has stopped. */
  onMalformed(details: string): void;
}

export interface ReaderLimits extends HeadLimits {
  readonly maxHeadBytes: number;
  /** Empty lines before a message are skipped. */
  readonly skipsEmptyLines: boolean;
  /** A message that begins with a blank or a control byte is refused before its first line is complete. */
  readonly refusesBlankStart: boolean;
}

export class MessageReader {
  readonly #events: ReaderEvents;
  readonly #limits: ReaderLimits;
  readonly #head = new MessageHead();
  readonly #body: BodyParser;
  #phase: number = Phase.head;
  #held: Buffer | null = null;
  #heldLength = 0;
  #searched = 0;
  #firstLineSeen = false;
  #endAnnounced = false;
  #running = false;
  #messageEnded = false;
  #trailers: HeaderMap | null = null;
  /** During onMessageEnd: bytes that were read beyond the message. */
  unreadBytes = 0;
  /** Set by the owner: no message is begun until `resume`; bytes are held. */
  paused = false;
  /** Set by the owner or an error: everything that comes is dropped. */
  stopped = false;
  /** Bytes of the current message so far, framing included. */
  messageBytes = 0;

  constructor(events: ReaderEvents, limits: ReaderLimits) {
    this.#events = events;
    this.#limits = limits;
    this.#body = new BodyParser(data => this.#passBody(data));
  }

  /** Bytes that wait for `resume` or for the rest of a head. */
  get heldBytes(): number {
    return this.#heldLength;
  }

  get framing(): Framing {
    return this.#body.framing;
  }

  /** Between messages, with nothing of the next one read. */
  get idle(): boolean {
    return this.#phase === Phase.head && this.#heldLength === 0;
  }

  feed(data: Buffer): void {
    if (this.stopped) return;
    if (this.#running || this.#heldLength > 0 || (this.paused && this.#phase === Phase.head)) {
      this.#hold(data, 0);
      if (!this.#running && !(this.paused && this.#phase === Phase.head)) this.#runHeld();
      return;
    }
    this.#run(data);
  }

  /** Goes on after a pause, with the bytes that were held. */
  resume(): void {
    this.paused = false;
    if (!this.#running && this.#heldLength > 0) this.#runHeld();
  }

  /** What follows is not HTTP any more: it is passed on as body. */
  passRaw(): void {
    this.#body.begin(Framing.raw, 0);
    this.#phase = Phase.body;
  }

  /** The connection ended: completes a body that lasts until then, and says whether the message was whole. */
  endOfInput(): boolean {
    if (this.#phase === Phase.head) return this.#heldLength === 0;
    if (this.#phase === Phase.body && (this.framing === Framing.untilClose || this.framing === Framing.raw)) {
      this.#finish(null);
      this.#announceEnd(0);
      return true;
    }
    return false;
  }

  #runHeld(): void {
    const data = (this.#held as Buffer).subarray(0, this.#heldLength);
    // Pieces of the held bytes may still be on their way to another connection: the buffer is not used again.
    this.#held = null;
    this.#heldLength = 0;
    this.#run(data);
  }

  #hold(data: Buffer, from: number): void {
    const more = data.length - from;
    if (more === 0) return;
    const needed = this.#heldLength + more;
    if (this.#held === null || this.#held.length < needed) {
      const larger = Buffer.allocUnsafe(Math.max(1024, needed * 2));
      if (this.#held !== null) this.#held.copy(larger, 0, 0, this.#heldLength);
      this.#held = larger;
    }
    data.copy(this.#held, this.#heldLength, from);
    this.#heldLength = needed;
  }

  #run(data: Buffer): void {
    this.#running = true;
    let at = 0;
    while (at < data.length && !this.stopped) {
      const begin = at;
      if (this.#phase === Phase.head) {
        if (this.paused) {
          this.#hold(data, at);
          break;
        }
        at = this.#readHead(data, at);
      } else if (this.#phase === Phase.body) {
        at = this.#body.consume(data, at);
        this.messageBytes += at - begin;
        this.#afterBody();
      } else {
        at = this.#readTrailers(data, at);
      }
      if (this.#messageEnded) this.#announceEnd(data.length - at);
    }
    this.#running = false;
  }

  #fail(details: string): void {
    this.stopped = true;
    this.#events.onMalformed(details);
  }

  #readHead(data: Buffer, start: number): number {
    let at = start;
    if (this.#searched === 0) {
      if (this.#limits.skipsEmptyLines) while (at < data.length && (data[at] === LF || data[at] === CR)) at++;
      if (at === data.length) {
        this.#events.onPartialHead(null);
        return at;
      }
      if (this.#limits.refusesBlankStart && data[at] <= SP) {
        this.#fail('http1.codec_error');
        return data.length;
      }
    }
    const end = findHeadEnd(data, at, at + Math.max(0, this.#searched - 3));
    const size = (end === -1 ? data.length : end) - at;
    if (size > this.#limits.maxHeadBytes) {
      this.#fail('http1.headers_too_large');
      return data.length;
    }
    if (end === -1) {
      this.#waitForHead(data, at);
      return data.length;
    }
    this.#searched = 0;
    this.#firstLineSeen = false;
    parseHead(data, at, end, this.#head, this.#limits);
    if (this.#head.error !== '') {
      this.#fail(this.#head.error);
      return data.length;
    }
    this.messageBytes = size;
    this.#endAnnounced = false;
    this.#phase = Phase.body;
    const framing = this.#events.onHead(this.#head);
    this.#head.release();
    if (this.stopped) return end;
    this.#body.begin(framing, this.#head.contentLength);
    if (framing === Framing.none) this.#finish(null);
    return end;
  }

  #waitForHead(data: Buffer, at: number): void {
    this.#searched = data.length - at;
    this.#hold(data, at);
    let firstLine: string | null = null;
    if (!this.#firstLineSeen) {
      const lineEnd = data.indexOf(LF, at);
      if (lineEnd !== -1) {
        firstLine = data.toString('latin1', at, lineEnd).trimEnd();
        this.#firstLineSeen = true;
      }
    }
    this.#events.onPartialHead(firstLine);
  }

  #passBody(data: Buffer): void {
    const last = this.#body.state === BodyState.complete;
    this.#endAnnounced = last;
    this.#events.onBody(data, last);
  }

  #afterBody(): void {
    switch (this.#body.state) {
      case BodyState.complete:
        this.#finish(null);
        break;
      case BodyState.trailers:
        this.#phase = Phase.trailers;
        this.#searched = 0;
        break;
      case BodyState.error:
        this.#fail('http1.codec_error');
        break;
    }
  }

  #readTrailers(data: Buffer, at: number): number {
    if (data[at] === LF || (data[at] === CR && data[at + 1] === LF)) {
      const end = data[at] === LF ? at + 1 : at + 2;
      this.#searched = 0;
      this.messageBytes += end - at;
      this.#finish(null);
      return end;
    }
    const end = findHeadEnd(data, at, at + Math.max(0, this.#searched - 3));
    if ((end === -1 ? data.length : end) - at > this.#limits.maxHeadBytes) {
      this.#fail('http1.trailers_too_large');
      return data.length;
    }
    if (end === -1) {
      this.#searched = data.length - at;
      this.#hold(data, at);
      return data.length;
    }
    const head = this.#head;
    head.reset();
    head.text = data.toString('latin1', at, end);
    parseHeaderLines(data, at, end, at, head, this.#limits);
    this.#searched = 0;
    this.messageBytes += end - at;
    if (head.error !== '') this.#fail(head.error);
    else this.#finish(head.headers);
    return end;
  }

  #finish(trailers: HeaderMap | null): void {
    this.#phase = Phase.head;
    this.#messageEnded = true;
    this.#trailers = trailers;
  }

  #announceEnd(unreadBytes: number): void {
    this.#messageEnded = false;
    this.unreadBytes = unreadBytes;
    const trailers = this.#trailers;
    this.#trailers = null;
    this.#events.onMessageEnd(trailers, this.#endAnnounced);
  }
}
