/** What is written to a connection during one event, until it goes to the socket: as few pieces as it takes. */

/** Where bytes go: a socket, or TLS above one. */
export interface ByteSink {
  cork(): void;
  uncork(): void;
  write(data: Buffer): unknown;
  /** Text whose characters are bytes. */
  write(text: string, encoding: 'latin1'): unknown;
}

/** Up to this many bytes behind text become text: one string is cheaper for Node than a list of buffers. */
const maxInlineBytes = 1024;

export class PendingWrites {
  /** The text that ends the list, or all of it. */
  #text = '';
  /** The only piece; more go to `#pieces`. */
  #data: Buffer | null = null;
  #pieces: (Buffer | string)[] | null = null;
  bytes = 0;

  /** The buffer must stay as it is until `passTo`. */
  add(data: Buffer): void {
    this.bytes += data.length;
    if (this.#text !== '' && data.length <= maxInlineBytes) {
      this.#text += data.toString('latin1');
    } else if (this.#text === '' && this.#data === null && this.#pieces === null) {
      this.#data = data;
    } else {
      this.#list().push(data);
    }
  }

  /** Text whose characters are bytes. */
  addLatin1(text: string): void {
    this.bytes += text.length;
    if (this.#data !== null) this.#list();
    this.#text += text;
  }

  /** The list, with everything so far in it. */
  #list(): (Buffer | string)[] {
    this.#pieces ??= [];
    if (this.#data !== null) this.#pieces.push(this.#data);
    if (this.#text !== '') this.#pieces.push(this.#text);
    this.#data = null;
    this.#text = '';
    return this.#pieces;
  }

  passTo(sink: ByteSink): void {
    this.bytes = 0;
    if (this.#pieces !== null) {
      const pieces = this.#list();
      this.#pieces = null;
      sink.cork();
      for (const piece of pieces) writePiece(sink, piece);
      sink.uncork();
      return;
    }
    const piece = this.#data ?? this.#text;
    this.#data = null;
    this.#text = '';
    if (piece.length > 0) writePiece(sink, piece);
  }
}

function writePiece(sink: ByteSink, piece: Buffer | string): void {
  if (typeof piece === 'string') sink.write(piece, 'latin1');
  else sink.write(piece);
}
