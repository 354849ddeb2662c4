/** Valid conversations of HTTP/2 from a grammar, of either side, and mutations of them. */
import { clientPreface, FrameType } from '../../proxy/http/h2/frame.ts';
import { HpackEncoder } from '../../proxy/http/h2/hpack-encoder.ts';
import type { Random } from '../support/random.ts';
import { makeBlock, makeData, makeFrame, makeSettings, uint32 } from '../support/http2-wire.ts';

const names = ['accept', 'x-custom', 'cookie', 'te', 'content-length', 'host', 'a_b', 'via', 'x-request-id', 'expect'];
const values = ['', 'x', 'trailers', '3', 'a=b', 'y'.repeat(300), '\xe4', '100-continue', 'h'];
const methods = ['GET', 'POST', 'HEAD', 'OPTIONS', 'CONNECT'];
const paths = ['/', '/a?b=c', '*', '/%41', `/${'p'.repeat(200)}`];
const statuses = ['200', '204', '304', '404', '100', '103', '500'];

type Field = readonly [string, string];

/** One side of a connection as it is being made up. */
class Conversation {
  readonly frames: Buffer[] = [];
  readonly #random: Random;
  readonly #encoder = new HpackEncoder(4096);

  constructor(random: Random) {
    this.#random = random;
  }

  #someFields(): Field[] {
    const fields: Field[] = [];
    for (let count = this.#random.below(5); count > 0; count--) {
      const name = this.#random.pick(names);
      // What a message can stand, most of the time.
      const isDelicate = name === 'te' || name === 'content-length' || name === 'host';
      if (isDelicate && this.#random.chance(0.7)) continue;
      fields.push([name, name === 'te' ? 'trailers' : this.#random.pick(values)]);
    }
    return fields;
  }

  #encode(fields: readonly Field[]): Buffer {
    if (this.#random.chance(0.3)) return makeBlock(...fields);
    const out = Buffer.allocUnsafe(10_000);
    let at = this.#encoder.beginBlock(out, 0);
    for (const [name, value] of fields) at = this.#encoder.encode(name, value, out, at);
    return out.subarray(0, at);
  }

  headers(streamId: number, pseudo: readonly Field[], endStream: boolean): void {
    const block = this.#encode([...pseudo, ...this.#someFields()]);
    const end = endStream ? 1 : 0;
    if (this.#random.chance(0.7) || block.length < 2) {
      this.frames.push(makeFrame(FrameType.headers, 4 | end, streamId, block));
      return;
    }
    const cut = 1 + this.#random.below(block.length - 1);
    this.frames.push(makeFrame(FrameType.headers, end, streamId, block.subarray(0, cut)));
    this.frames.push(makeFrame(FrameType.continuation, 4, streamId, block.subarray(cut)));
  }

  body(streamId: number): void {
    const random = this.#random;
    for (let count = random.below(4); count > 0; count--) {
      const data = Buffer.alloc(1 + random.below(random.chance(0.1) ? 16_000 : 50), 98);
      if (random.chance(0.8)) this.frames.push(makeData(streamId, data));
      else this.frames.push(makeFrame(FrameType.data, 8, streamId, Buffer.concat([Buffer.from([2]), data, Buffer.alloc(2)])));
      if (random.chance(0.3)) this.control(streamId);
    }
    if (random.chance(0.2)) this.headers(streamId, [], true);
    else if (random.chance(0.9)) this.frames.push(makeData(streamId, 'end', true));
    else this.frames.push(makeFrame(FrameType.rstStream, 0, streamId, uint32(random.below(14))));
  }

  control(streamId: number): void {
    const random = this.#random;
    const id = random.chance(0.5) ? 0 : streamId;
    const choices = [
      () => makeFrame(FrameType.ping, random.below(2), 0, '12345678'),
      () => makeSettings([random.pick([1, 3, 4, 99]), random.pick([0, 1, 100, 70_000])]),
      () => makeFrame(FrameType.windowUpdate, 0, id, uint32(1 + random.below(100_000))),
      () => makeFrame(FrameType.priority, 0, streamId, Buffer.from([0, 0, 0, 0, 1])),
      () => makeFrame(0x20, 0, id, 'unknown'),
    ];
    this.frames.push(random.pick(choices)());
  }
}

/** What a client sends: preface, settings, requests. */
export function generateClientFrames(random: Random): Buffer[] {
  const conversation = new Conversation(random);
  conversation.frames.push(clientPreface, makeSettings([4, random.pick([0, 10, 65_535])]), makeFrame(FrameType.settings, 1, 0));
  for (let streamId = 1; streamId < 2 + random.below(12); streamId += 2) {
    const method = random.pick(methods);
    const target: Field[] =
      method === 'CONNECT'
        ? []
        : [
            [':scheme', 'http'],
            [':path', method === 'OPTIONS' ? '*' : random.pick(paths)],
          ];
    const endStream = random.chance(0.5);
    conversation.headers(streamId, [[':method', method], [':authority', 'h'], ...target], endStream);
    if (!endStream) conversation.body(streamId);
    if (random.chance(0.3)) conversation.control(streamId);
  }
  return conversation.frames;
}

/** What a server sends to a client that began `streams` requests. */
export function generateServerFrames(random: Random, streams: number): Buffer[] {
  const conversation = new Conversation(random);
  conversation.frames.push(makeSettings([3, random.pick([0, 1, 100])]), makeFrame(FrameType.settings, 1, 0));
  for (let streamId = 1; streamId < 2 * streams; streamId += 2) {
    if (random.chance(0.1)) conversation.headers(streamId, [[':status', '100']], false);
    const endStream = random.chance(0.3);
    conversation.headers(streamId, [[':status', random.pick(statuses)]], endStream);
    if (!endStream) conversation.body(streamId);
    if (random.chance(0.3)) conversation.control(streamId);
    if (random.chance(0.05)) {
      conversation.frames.push(makeFrame(FrameType.goaway, 0, 0, Buffer.concat([uint32(streamId), uint32(0)])));
    }
  }
  return conversation.frames;
}

/** Damages frames: their order, their headers, their bytes. The first frame stays what it is, most of the time. */
export function mutateFrames(frames: readonly Buffer[], random: Random): Buffer[] {
  const damaged: Buffer[] = frames.map(frame => Buffer.from(frame));
  for (let count = 1 + random.below(4); count > 0; count--) {
    const at = Math.min(damaged.length - 1, random.chance(0.9) ? 1 + random.below(damaged.length) : 0);
    const frame = damaged[at];
    const edits = [
      () => damaged.splice(at, 1),
      () => damaged.splice(at, 0, Buffer.from(damaged[random.below(damaged.length)])),
      () => damaged.splice(at, 1, frame.subarray(0, random.below(frame.length + 1))),
      () => {
        frame[random.below(frame.length)] ^= 1 << random.below(8);
      },
      () => {
        frame[Math.min(frame.length - 1, random.pick([0, 1, 2, 3, 4, 8]))] = random.below(256);
      },
      () =>
        damaged.splice(
          at,
          0,
          makeFrame(random.below(11), random.below(64), random.below(12), Buffer.alloc(random.below(20), random.below(256))),
        ),
      () => damaged.splice(at, 0, ...Array.from({ length: 1 + random.below(120) }, () => Buffer.from(frame))),
    ];
    random.pick(edits)();
    if (damaged.length === 0) return [Buffer.alloc(0)];
  }
  return damaged;
}

/** The bytes in pieces of random sizes, often small ones. */
export function* splitBytes(bytes: Buffer, random: Random): Iterable<Buffer> {
  for (let at = 0; at < bytes.length; ) {
    const size = 1 + random.below(random.chance(0.5) ? 12 : 2000);
    yield bytes.subarray(at, at + size);
    at += size;
  }
}
