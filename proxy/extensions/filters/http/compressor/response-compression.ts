/** Compression chunk by chunk and synchronously, over the transforms of node:zlib. */
import { constants, createBrotliCompress, createGzip, createZstdCompress } from 'node:zlib';
import type { CompressionLibraryModel } from './config.ts';

/** The synchronous entry that node:zlib's own *Sync functions use. */
interface SyncTransform {
  _processChunk(chunk: Buffer, flushFlag: number): Buffer | null;
  close(): void;
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
    process: (data, last) => transform._processChunk(data, last ? operation.last : operation.next) ?? nothing,
    close: () => transform.close(),
  };
}
