/**
 * The OpenSSL inside Node's own binary, called directly: TLSSocket costs more than the cryptography that it wraps. Pointers are
 * plain numbers (addresses of user space fit), 0 is NULL; nothing here is freed by itself.
 *
 * Source: OpenSSL 3.5, ssl(7), ERR_get_error(3).
 */
import { createRequire } from 'node:module';

interface Library {
  func(prototype: string): unknown;
}

let library: Library | null = null;

/**
 * Binds functions of OpenSSL. Each prototype is C's, with every pointer to a structure of OpenSSL as `int64_t`, and what is read
 * from or written to a Buffer as `const void *` or `void *`: `{ free: 'void SSL_free(int64_t ssl)' }`.
 *
 * Throws an error that names the missing function if this Node does not export it.
 */
export function loadOpenSsl<T>(prototypes: { readonly [name in keyof T]: string }): T {
  library ??= openLibrary();
  const calls: { [name: string]: unknown } = {};
  for (const [name, prototype] of Object.entries<string>(prototypes)) calls[name] = bindFunction(library, prototype);
  return calls as T;
}

interface Declaration {
  readonly calls: { [name: string]: unknown };
  readonly prototypes: { readonly [name: string]: string };
}

/** Not bound yet. */
const declared: Declaration[] = [];

/**
 * The same, bound at the first call of any declared function, or by `bindOpenSsl`: a start does not wait for it. Call the functions as
 * methods of the result.
 */
export function declareOpenSsl<T>(prototypes: { readonly [name in keyof T]: string }): T {
  const calls: { [name: string]: unknown } = {};
  for (const name of Object.keys(prototypes)) {
    calls[name] = (...values: unknown[]) => {
      bindOpenSsl();
      return (calls[name] as (...values: unknown[]) => unknown)(...values);
    };
  }
  declared.push({ calls, prototypes });
  return calls as T;
}

/** Binds what was declared. Throws as `loadOpenSsl`. */
export function bindOpenSsl(): void {
  for (let next = declared.at(-1); next !== undefined; next = declared.at(-1)) {
    Object.assign(next.calls, loadOpenSsl(next.prototypes));
    declared.pop();
  }
}

function openLibrary(): Library {
  try {
    return createRequire(import.meta.url)('koffi').load(null);
  } catch (error) {
    throw new Error(`cannot call OpenSSL (package koffi for ${process.platform}-${process.arch}): ${String(error)}`);
  }
}

function bindFunction(from: Library, prototype: string): unknown {
  try {
    return from.func(prototype);
  } catch (error) {
    const symbol = /(\w+)\(/.exec(prototype)?.[1] ?? prototype;
    throw new Error(
      `cannot call OpenSSL's ${symbol}: Node ${process.version} was built without exporting its OpenSSL (${(error as Error).message})`,
    );
  }
}

/** An entry of the thread's queue of errors. */
export interface OpenSslError {
  /** OpenSSL's words in capitals, as Node's error codes have them: `WRONG_VERSION_NUMBER`. */
  readonly reason: string;
  /** Which part failed: 20 is SSL, 2 the operating system. */
  readonly library: number;
}

interface ErrorCalls {
  peekError(): number;
  reasonText(code: number): string | null;
  clearErrors(): void;
}

const systemErrorFlag = 0x80000000;
const systemLibrary = 2;
let errorCalls: ErrorCalls | null = null;

function loadErrorCalls(): ErrorCalls {
  errorCalls ??= loadOpenSsl<ErrorCalls>({
    peekError: 'unsigned long ERR_peek_error()',
    reasonText: 'const char *ERR_reason_error_string(unsigned long code)',
    clearErrors: 'void ERR_clear_error()',
  });
  return errorCalls;
}

/** The oldest error of this thread, the cause of the others; null if there is none. All of them are forgotten. */
export function takeOpenSslError(): OpenSslError | null {
  const { peekError, reasonText, clearErrors } = loadErrorCalls();
  const code = peekError();
  if (code === 0) return null;
  const text = reasonText(code) ?? `error ${code.toString(16)}`;
  clearErrors();
  const isSystem = (code & systemErrorFlag) !== 0;
  return { reason: text.replaceAll(' ', '_').toUpperCase(), library: isSystem ? systemLibrary : (code >>> 23) & 0xff };
}

/** What an earlier call left must not be taken for the next one's. */
export function clearOpenSslErrors(): void {
  loadErrorCalls().clearErrors();
}
