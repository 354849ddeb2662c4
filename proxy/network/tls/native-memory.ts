/** What C functions need beyond numbers and buffers: addresses of buffers, and functions of ours that they call back. */
import { createRequire } from 'node:module';

interface Koffi {
  address(buffer: Uint8Array): bigint;
  proto(prototype: string): object;
  pointer(type: object): object;
  register(callback: (...values: number[]) => number, type: object): bigint;
}

let koffi: Koffi | null = null;

function loadKoffi(): Koffi {
  koffi ??= createRequire(import.meta.url)('koffi') as Koffi;
  return koffi;
}

/** A buffer that C functions write to through a pointer that they advance (`unsigned char **`). */
export class NativeBuffer {
  /** Memory of its own, which the garbage collector does not move. */
  readonly buffer: Buffer;
  readonly #address: bigint;
  readonly #pointer = Buffer.alloc(8);

  constructor(bytes: number) {
    this.buffer = Buffer.allocUnsafeSlow(bytes);
    this.#address = loadKoffi().address(this.buffer);
  }

  /** A pointer to the buffer's first byte, set anew. */
  pointer(): Buffer {
    this.#pointer.writeBigUInt64LE(this.#address);
    return this.#pointer;
  }
}

/**
 * The address of a function for C, good for this thread and for as long as it lives. It is called only while a call of ours runs, and
 * must not throw. `prototype` is C's, with pointers as `int64_t`.
 */
export function registerCallback(prototype: string, callback: (...values: number[]) => number): number {
  const { register, pointer, proto } = loadKoffi();
  return Number(register(callback, pointer(proto(prototype))));
}
