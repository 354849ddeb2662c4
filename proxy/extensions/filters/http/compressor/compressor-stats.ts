/** Counters of one compressor, `http.<prefix>.compressor.<library>.<coding>.*`, under Envoy's names. */
import type { Counter, StatsStore } from '../../../../telemetry/stats-store.ts';
import type { EncodingChoice } from './accept-encoding.ts';
import type { CompressorModel } from './config.ts';

/** Requests are never compressed: these stay 0. */
const unusedRequestNames = 'compressed content_length_too_small total_compressed_bytes total_uncompressed_bytes';

export class CompressorStats {
  readonly compressed: Counter;
  readonly notCompressed: Counter;
  readonly contentTooShort: Counter;
  readonly uncompressedBytes: Counter;
  readonly compressedBytes: Counter;
  readonly notCompressedForEtag: Counter;
  readonly noAcceptHeader: Counter;
  readonly requestsNotCompressed: Counter;
  readonly #used: Counter;
  readonly #overshadowed: Counter;
  readonly #byKind: { readonly [K in 'identity' | 'wildcard' | 'not-valid']: Counter };

  constructor(stats: StatsStore, statPrefix: string, { libraryName, library, hasResponseDirection }: CompressorModel) {
    const scope = `http.${statPrefix}.compressor.${libraryName}.${library.kind}.`;
    const response = hasResponseDirection ? `${scope}response.` : scope;
    this.compressed = stats.counter(`${response}compressed`);
    this.notCompressed = stats.counter(`${response}not_compressed`);
    this.contentTooShort = stats.counter(`${response}content_length_too_small`);
    this.uncompressedBytes = stats.counter(`${response}total_uncompressed_bytes`);
    this.compressedBytes = stats.counter(`${response}total_compressed_bytes`);
    this.notCompressedForEtag = stats.counter(`${scope}not_compressed_etag`);
    this.noAcceptHeader = stats.counter(`${scope}no_accept_header`);
    this.requestsNotCompressed = stats.counter(`${scope}request.not_compressed`);
    this.#used = stats.counter(`${scope}header_compressor_used`);
    this.#overshadowed = stats.counter(`${scope}header_compressor_overshadowed`);
    this.#byKind = {
      identity: stats.counter(`${scope}header_identity`),
      wildcard: stats.counter(`${scope}header_wildcard`),
      'not-valid': stats.counter(`${scope}header_not_valid`),
    };
    for (const name of unusedRequestNames.split(' ')) stats.counter(`${scope}request.${name}`);
  }

  /** `isOwn`: the choice is this compressor's coding. */
  countChoice(kind: EncodingChoice['kind'], isOwn: boolean): void {
    if (kind !== 'valid') this.#byKind[kind].inc();
    else if (isOwn) this.#used.inc();
    else this.#overshadowed.inc();
  }
}
