/** Any DNS message as plain values, to compare answers that encode the same records differently. */

export type ReadMessage = {
  readonly id: number;
  readonly flags: number;
  readonly questions: readonly string[];
  /** Answers, authorities and additional records; addresses of one name in order of their bytes, as servers shuffle them. */
  readonly sections: readonly (readonly string[])[];
};

const nameTypes: ReadonlySet<number> = new Set([2, 5, 12]);

/** @throws if it is malformed. */
export function readMessage(message: Buffer): ReadMessage {
  let offset = 12;
  const questions = Array.from({ length: message.readUInt16BE(4) }, () => {
    const { name, next } = readName(message, offset);
    offset = next + 4;
    return `${name} ${message.readUInt16BE(next)} ${message.readUInt16BE(next + 2)}`;
  });
  const sections = [6, 8, 10].map(count => {
    const records = Array.from({ length: message.readUInt16BE(count) }, () => {
      const { text, next } = readRecord(message, offset);
      offset = next;
      return text;
    });
    return records.toSorted();
  });
  return { id: message.readUInt16BE(0), flags: message.readUInt16BE(2), questions, sections };
}

function readRecord(message: Buffer, offset: number): { readonly text: string; readonly next: number } {
  const { name, next } = readName(message, offset);
  const [type, recordClass, length] = [0, 2, 8].map(at => message.readUInt16BE(next + at));
  const ttl = message.readUInt32BE(next + 4);
  const data = next + 10;
  const value = nameTypes.has(type) ? readName(message, data).name : message.toString('hex', data, data + length);
  return { text: `${name} ${type} ${recordClass} ${ttl} ${value}`, next: data + length };
}

function readName(message: Buffer, start: number): { readonly name: string; readonly next: number } {
  let name = '';
  let next: number | null = null;
  for (let offset = start, jumps = 0; jumps < 20; ) {
    const length = message.readUInt8(offset);
    if (length >= 0xc0) {
      next ??= offset + 2;
      offset = message.readUInt16BE(offset) & 0x3fff;
      jumps++;
    } else if (length === 0) return { name: `${name}.`, next: next ?? offset + 1 };
    else {
      name += `${name === '' ? '' : '.'}${message.toString('latin1', offset + 1, offset + 1 + length)}`;
      offset += length + 1;
    }
  }
  throw new Error('a name that points to itself');
}
