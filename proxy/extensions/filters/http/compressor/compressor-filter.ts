/** Run time of `envoy.filters.http.compressor`. */
import type { FilterFactoryContext, HttpFilter, HttpFilterCallbacks, HttpFilterFactory } from '../../../../http/filter.ts';
import { HookStatus } from '../../../../http/filter.ts';
import type { HeaderMap } from '../../../../http/header-map.ts';
import { isUpgrade } from '../../../../http/request-headers.ts';
import { chooseEncoding } from './accept-encoding.ts';
import { CompressorStats } from './compressor-stats.ts';
import type { CompressorModel, CompressorPerRouteModel } from './config.ts';
import { type CompressionEvents, ResponseCompression } from './response-compression.ts';

/** Compressors of one stream: each adds the coding it could apply, all see the same choice. */
const offersKey = 'http.compressor.offers';
const contentCodings = { brotli: 'br', gzip: 'gzip', zstd: 'zstd' } as const;

const nothing = Buffer.alloc(0);

class CompressorFilter implements HttpFilter, CompressionEvents {
  readonly #callbacks: HttpFilterCallbacks;
  readonly #model: CompressorModel;
  readonly #perRoute: CompressorPerRouteModel | null;
  readonly #stats: CompressorStats;
  readonly #context: FilterFactoryContext;
  #acceptEncoding: string | undefined;
  #compression: ResponseCompression | null = null;
  #hasTrailers = false;

  constructor(callbacks: HttpFilterCallbacks, model: CompressorModel, stats: CompressorStats, context: FilterFactoryContext) {
    this.#callbacks = callbacks;
    this.#model = model;
    this.#perRoute = callbacks.perRouteConfig() as CompressorPerRouteModel | null;
    this.#stats = stats;
    this.#context = context;
  }

  get #coding(): string {
    return contentCodings[this.#model.library.kind];
  }

  onRequestHeaders(headers: HeaderMap): HookStatus {
    // Requests are never compressed; Envoy counts each.
    this.#stats.requestsNotCompressed.inc();
    if (!this.#isEnabled()) return HookStatus.continue;
    this.#acceptEncoding = headers.getJoined('accept-encoding');
    if (this.#acceptEncoding === undefined) return HookStatus.continue;
    const { streamInfo } = this.#callbacks;
    let offers = streamInfo.getFilterState(offersKey) as CompressorModel[] | undefined;
    if (offers === undefined) {
      offers = [];
      streamInfo.setFilterState(offersKey, offers);
    }
    offers.push(this.#model);
    if (this.#perRoute?.removeAcceptEncoding ?? this.#model.removeAcceptEncoding) headers.remove('accept-encoding');
    return HookStatus.continue;
  }

  #isEnabled(): boolean {
    if (this.#perRoute?.disabled === true) return false;
    const { enabled, enabledRuntimeKey } = this.#model;
    return enabledRuntimeKey === '' ? enabled : this.#context.services.runtime.getBoolean(enabledRuntimeKey, enabled);
  }

  onResponseHeaders(headers: HeaderMap, endStream: boolean): HookStatus {
    const isEligible = this.#isEnabled() && this.#isLongEnough(headers);
    const isCompressible = isEligible && this.#isCompressible(headers);
    if (!endStream && isEligible && this.#isChosen(headers) && isCompressible && isTransferEncodingFree(headers)) {
      this.#begin(headers);
    } else {
      this.#stats.notCompressed.inc();
    }
    if (isCompressible) addVary(headers);
    return HookStatus.continue;
  }

  #isCompressible(headers: HeaderMap): boolean {
    if (isUpgrade(headers) || headers.has('content-encoding')) return false;
    if (headers.getJoined('cache-control')?.toLowerCase().includes('no-transform') === true) return false;
    if (this.#model.disableOnEtag && headers.has('etag')) {
      this.#stats.notCompressedForEtag.inc();
      return false;
    }
    return this.#model.contentTypes.includes(typeOf(headers)) || typeOf(headers) === '';
  }

  #isLongEnough(headers: HeaderMap): boolean {
    const length = headers.get('content-length');
    if (length === undefined || Number(length) >= this.#model.minContentLength) return true;
    this.#stats.contentTooShort.inc();
    return false;
  }

  #isChosen(headers: HeaderMap): boolean {
    if (this.#acceptEncoding === undefined) {
      this.#stats.noAcceptHeader.inc();
      return false;
    }
    const offers = (this.#callbacks.streamInfo.getFilterState(offersKey) as CompressorModel[] | undefined) ?? [];
    const type = typeOf(headers);
    const offered = offers
      .filter(({ contentTypes }) => type === '' || contentTypes.includes(type))
      .map(({ library }) => contentCodings[library.kind]);
    const { kind, coding } = chooseEncoding(this.#acceptEncoding, offered);
    const isOwn = coding === this.#coding;
    this.#stats.countChoice(kind, isOwn);
    return isOwn;
  }

  #begin(headers: HeaderMap): void {
    const etag = headers.get('etag');
    // A strong validator does not hold for other bytes.
    if (etag !== undefined && !/^W\//i.test(etag)) headers.remove('etag');
    headers.remove('content-length');
    headers.set('content-encoding', this.#coding);
    this.#stats.compressed.inc();
    this.#compression = new ResponseCompression(this.#model.library, this);
  }

  /** The bytes leave the chain here; what they become enters it behind this filter. */
  onResponseData(data: Buffer, endStream: boolean): HookStatus {
    if (this.#compression === null) return HookStatus.continue;
    this.#stats.uncompressedBytes.add(data.length);
    this.#compression.write(data);
    if (endStream) this.#compression.end();
    return HookStatus.stop;
  }

  /** Trailers wait for the last of the body. */
  onResponseTrailers(): HookStatus {
    if (this.#compression === null) return HookStatus.continue;
    this.#hasTrailers = true;
    this.#compression.end();
    return HookStatus.stop;
  }

  onDestroy(): void {
    this.#compression?.destroy();
  }

  // CompressionEvents

  onData(data: Buffer): void {
    this.#stats.compressedBytes.add(data.length);
    this.#callbacks.injectResponseData(data, false);
  }

  onPressure(isBehind: boolean): void {
    const watermarks = this.#callbacks.downstreamWatermarks;
    if (isBehind) watermarks?.onAboveHighWatermark();
    else watermarks?.onBelowLowWatermark();
  }

  onEnd(): void {
    if (this.#hasTrailers) this.#callbacks.continueResponse();
    else this.#callbacks.injectResponseData(nothing, true);
  }

  /** The headers are on their way: the client can only be told by the end of the connection. */
  onError(): void {
    this.#callbacks.resetStream('local-reset');
  }
}

function typeOf(headers: HeaderMap): string {
  const value = headers.get('content-type') ?? '';
  const end = value.indexOf(';');
  return (end === -1 ? value : value.slice(0, end)).trim().toLowerCase();
}

function isTransferEncodingFree(headers: HeaderMap): boolean {
  const coding = headers.getJoined('transfer-encoding')?.toLowerCase();
  return coding === undefined || !/\b(gzip|deflate|compress)\b/.test(coding);
}

function addVary(headers: HeaderMap): void {
  const vary = headers.getJoined('vary');
  if (vary === undefined) headers.add('vary', 'Accept-Encoding');
  else if (vary !== '*' && !vary.toLowerCase().includes('accept-encoding')) headers.set('vary', `${vary}, Accept-Encoding`);
}

export function createCompressorFilter(config: CompressorModel, context: FilterFactoryContext): HttpFilterFactory {
  const stats = new CompressorStats(context.stats, context.manager?.statPrefix ?? '', config);
  return callbacks => new CompressorFilter(callbacks, config, stats, context);
}
