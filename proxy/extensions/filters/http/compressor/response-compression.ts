/** The compression of one response by a transform of node:zlib, which works outside of the event loop's thread. */
import { constants, createBrotliCompress, createGzip, createZstdCompress } from 'node:zlib';
import type { Transform } from 'node:stream';
import type { CompressionLibraryModel } from './config.ts';

export interface CompressionEvents {
  /** Compressed bytes, which belong to the receiver. */
  onData(data: Buffer): void;
  /** The transform holds more than it should: the source must pause, until `isBehind` is false again. */
  onPressure(isBehind: boolean): void;
  onEnd(): void;
  onError(error: Error): void;
}

/** What arrives is flushed: a client must see each event of a stream, not only the whole of it. */
function createTransform(library: CompressionLibraryModel): Transform {
  const chunkSize = library.chunkBytes;
  switch (library.kind) {
    case 'brotli': {
      const params = { [constants.BROTLI_PARAM_QUALITY]: library.quality, [constants.BROTLI_PARAM_LGWIN]: library.windowBits };
      return createBrotliCompress({ chunkSize, params, flush: constants.BROTLI_OPERATION_FLUSH });
    }
    case 'gzip': {
      const { level, memoryLevel: memLevel, windowBits } = library;
      return createGzip({ level, memLevel, windowBits, chunkSize, flush: constants.Z_SYNC_FLUSH });
    }
    default: {
      const params = {
        [constants.ZSTD_c_compressionLevel]: library.level,
        [constants.ZSTD_c_checksumFlag]: library.checksum ? 1 : 0,
      };
      return createZstdCompress({ chunkSize, params, flush: constants.ZSTD_e_flush });
    }
  }
}

export class ResponseCompression {
  readonly #transform: Transform;
  readonly #events: CompressionEvents;
  #isBehind = false;

  constructor(library: CompressionLibraryModel, events: CompressionEvents) {
    this.#events = events;
    this.#transform = createTransform(library);
    this.#transform.on('data', chunk => events.onData(chunk));
    this.#transform.on('end', () => events.onEnd());
    this.#transform.on('error', error => events.onError(error));
    this.#transform.on('drain', () => this.#setBehind(false));
  }

  /** Takes a copy: the bytes of a read buffer are good for one call only. */
  write(data: Buffer): void {
    if (data.length > 0 && !this.#transform.write(Buffer.from(data))) this.#setBehind(true);
  }

  end(): void {
    this.#transform.end();
  }

  #setBehind(isBehind: boolean): void {
    if (this.#isBehind === isBehind) return;
    this.#isBehind = isBehind;
    this.#events.onPressure(isBehind);
  }

  /** No event comes after this. */
  destroy(): void {
    this.#transform.removeAllListeners();
    // An error of work that is still under way has nobody to go to.
    this.#transform.on('error', () => {});
    this.#transform.destroy();
  }
}
