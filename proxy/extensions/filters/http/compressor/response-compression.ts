/** Compression chunk by chunk and synchronously, over the transforms of node:zlib. */
import { constants, createBrotliCompress, createGzip, createZstdCompress } from 'node:zlib';
import type { CompressionLibraryModel } from './config.ts';

/** The synchronous entry that node:zlib's own *Sync functions use. */
interface SyncTransform {
  _handle: { close(): void } | null;
  _processChunk(chunk: Buffer, flushFlag: number): Buffer | null;
  removeAllListeners(event: string): void;
  close(): void;
}

/** That entry is meant for one call and closes what it used: the native stream is kept from it between the calls. */
function processChunk(transform: SyncTransform, data: Buffer, flushFlag: number): Buffer {
  const handle = transform._handle as NonNullable<SyncTransform['_handle']>;
  const { close } = handle;
  handle.close = () => {};
  try {
    const output = transform._processChunk(data, flushFlag);
    // A view of the transform's own buffer, which the next call writes over.
    return output === null ? nothing : Buffer.from(output);
  } finally {
    handle.close = close;
    transform._handle = handle;
    // Each call adds one.
    transform.removeAllListeners('error');
  }
}

export interface ResponseCompression {
  /** Takes bytes and returns those that are ready; with `last` the stream is finished. */
  process(data: Buffer, last: boolean): Buffer;
  close(): void;
}

function createTransform(library: CompressionLibraryModel): SyncTransform {
  switch (library.kind) {
    case 'brotli': {
      const params = { [constants.BROTLI_PARAM_QUALITY]: library.quality, [constants.BROTLI_PARAM_LGWIN]: library.windowBits };
      return createBrotliCompress({ chunkSize: library.chunkBytes, params }) as unknown as SyncTransform;
    }
    case 'gzip': {
      const { level, memoryLevel: memLevel, windowBits, chunkBytes: chunkSize } = library;
      return createGzip({ level, memLevel, windowBits, chunkSize }) as unknown as SyncTransform;
    }
    default: {
      const params = {
        [constants.ZSTD_c_compressionLevel]: library.level,
        [constants.ZSTD_c_checksumFlag]: library.checksum ? 1 : 0,
      };
      return createZstdCompress({ chunkSize: library.chunkBytes, params }) as unknown as SyncTransform;
    }
  }
}

/** Operation codes differ by library. */
const operations = {
  brotli: { next: constants.BROTLI_OPERATION_PROCESS, last: constants.BROTLI_OPERATION_FINISH },
  gzip: { next: constants.Z_NO_FLUSH, last: constants.Z_FINISH },
  zstd: { next: constants.ZSTD_e_continue, last: constants.ZSTD_e_end },
} as const;

const nothing = Buffer.alloc(0);

export function beginCompression(library: CompressionLibraryModel): ResponseCompression {
  const transform = createTransform(library);
  const operation = operations[library.kind];
  return {
    process: (data, last) => processChunk(transform, data, last ? operation.last : operation.next),
    close: () => {
      transform._handle?.close();
      transform._handle = null;
    },
  };
}
