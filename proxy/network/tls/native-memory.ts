/** What C functions need beyond numbers and buffers: what lies at addresses, addresses of buffers, and functions of ours that they call back. */
import { createRequire } from 'node:module';
import { declareOpenSsl } from './openssl.ts';

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

/** Copies between buffers and addresses that C functions gave. */
export const memory = declareOpenSsl<{
  read(to: Uint8Array, from: number, bytes: number): number;
  write(to: number, from: Uint8Array, bytes: number): number;
}>({
  read: 'int64_t memcpy(void *to, int64_t from, size_t bytes)',
  write: 'int64_t memcpy(int64_t to, const void *from, size_t bytes)',
});

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
