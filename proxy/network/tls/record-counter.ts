/** Finds the ends of records in ciphertext as it arrives, however it is split (RFC 8446 5.1): who has read them all need not try again. */
const headerBytes = 5;

export class RecordCounter {
  /** Of the record that has begun; its header is complete. */
  #missingBytes = 0;
  readonly #header = [0, 0, 0, 0, 0];
  #headerLength = 0;

  /** How many records end within these bytes. */
  count(from: Uint8Array, start: number, end: number): number {
    let ended = 0;
    let offset = start;
    while (offset < end) {
      if (this.#missingBytes === 0) {
        this.#header[this.#headerLength++] = from[offset++];
        if (this.#headerLength < headerBytes) continue;
        this.#headerLength = 0;
        this.#missingBytes = (this.#header[3] << 8) | this.#header[4];
      } else {
        const taken = Math.min(this.#missingBytes, end - offset);
        this.#missingBytes -= taken;
        offset += taken;
      }
      if (this.#headerLength === 0 && this.#missingBytes === 0) ended++;
    }
    return ended;
  }
}
