/** The frames of gRPC: a byte of flags, the length in four bytes, the message. */

const prefixBytes = 5;
/** The flag of gRPC-Web's last frame, which holds the trailers as text. */
const trailersFlag = 0x80;

/** Cuts a byte stream into whole frames, at any split. */
export class FrameSplitter {
  #held: Buffer = Buffer.alloc(0);

  /** The frames that are whole now, each with its prefix. The last may begin in bytes that were given before. */
  push(data: Buffer): Buffer[] {
    let rest = this.#held.length === 0 ? data : Buffer.concat([this.#held, data]);
    const frames: Buffer[] = [];
    while (rest.length >= prefixBytes) {
      const end = prefixBytes + rest.readUInt32BE(1);
      if (rest.length < end) break;
      frames.push(rest.subarray(0, end));
      rest = rest.subarray(end);
    }
    // The bytes belong to a read buffer that is about to be reused.
    this.#held = Buffer.from(rest);
    return frames;
  }
}

/** Trailers as a frame of the body. `entries` are names and values in turn. */
export function encodeTrailersFrame(entries: readonly string[]): Buffer {
  let text = '';
  for (let i = 0; i < entries.length; i += 2) text += `${entries[i]}:${entries[i + 1]}\r\n`;
  const frame = Buffer.alloc(prefixBytes + text.length);
  frame[0] = trailersFlag;
  frame.writeUInt32BE(text.length, 1);
  frame.write(text, prefixBytes, 'latin1');
  return frame;
}
