/**
 * Run time of `envoy.filters.http.grpc_web`: the upstream sees gRPC; the client gets trailers as the last frame of the body, and
 * all of it in Base64 if it asked for text.
 *
 * Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md, and Envoy's filter.
 */
import type { FilterFactoryContext, HttpFilter, HttpFilterCallbacks, HttpFilterFactory } from '../../../../http/filter.ts';
import { HookStatus } from '../../../../http/filter.ts';
import type { HeaderMap } from '../../../../http/header-map.ts';
import { encodeGrpcMessage, isGrpcContentType } from '../../../../http/local-reply.ts';
import { grpcStatusOf } from '../../../../http/status-text.ts';
import type { StatsStore } from '../../../../telemetry/stats-store.ts';
import { Base64Decoder } from './base64-decoder.ts';
import { encodeTrailersFrame, FrameSplitter } from './message-frames.ts';

const textTypes = new Set(['application/grpc-web-text', 'application/grpc-web-text+proto']);
const binaryTypes = new Set(['application/grpc-web', 'application/grpc-web+proto']);
/** Bytes of an answer that is no gRPC which become its message. */
const maxMessageBytes = 16_384;
const nothing = Buffer.alloc(0);

class GrpcWebFilter implements HttpFilter {
  readonly #callbacks: HttpFilterCallbacks;
  readonly #stats: StatsStore;
  readonly #requestText: Base64Decoder | null;
  #responseText: FrameSplitter | null = null;
  /** The body of an answer that is no gRPC, so far; null: it is gRPC. */
  #foreignBody: Buffer[] | null = null;
  #status: string | undefined;

  constructor(callbacks: HttpFilterCallbacks, isText: boolean, stats: StatsStore) {
    this.#callbacks = callbacks;
    this.#stats = stats;
    this.#requestText = isText ? new Base64Decoder() : null;
  }

  onRequestHeaders(headers: HeaderMap): HookStatus {
    headers.remove('content-length');
    headers.set('content-type', 'application/grpc');
    if (textTypes.has(headers.get('accept') ?? '')) this.#responseText = new FrameSplitter();
    headers.set('te', 'trailers');
    headers.set('grpc-accept-encoding', 'identity');
    return HookStatus.continue;
  }

  onRequestData(data: Buffer, endStream: boolean): HookStatus {
    if (this.#requestText === null) return HookStatus.continue;
    const decoded = this.#requestText.push(data, endStream);
    if (decoded.kind !== 'bytes') this.#refuse(decoded.kind === 'invalid' ? '' : '_bad_size');
    else if (decoded.bytes.length > 0 || endStream) this.#callbacks.injectRequestData(decoded.bytes, endStream);
    return HookStatus.stop;
  }

  #refuse(suffix: string): void {
    this.#callbacks.sendLocalReply({
      status: 400,
      body: 'Bad gRPC-web request, invalid base64 data.',
      details: `grpc_base_64_decode_failed${suffix}`,
      flags: 0,
      grpcStatus: null,
    });
  }

  onResponseHeaders(headers: HeaderMap, endStream: boolean): HookStatus {
    this.#status = headers.get('grpc-status');
    const isGrpc = headers.status === 200 && isGrpcContentType(headers.get('content-type'));
    headers.set('content-type', `application/grpc-web${this.#responseText === null ? '' : '-text'}+proto`);
    if (endStream) return HookStatus.continue;
    headers.remove('content-length');
    if (isGrpc) return HookStatus.continue;
    this.#foreignBody = [];
    return HookStatus.stop;
  }

  onResponseData(data: Buffer, endStream: boolean): HookStatus {
    if (this.#foreignBody !== null) {
      this.#foreignBody.push(Buffer.from(data));
      if (endStream) this.#passForeign(this.#foreignBody);
      return HookStatus.stop;
    }
    if (this.#responseText === null) return HookStatus.continue;
    const frames = this.#responseText.push(data);
    if (frames.length === 0 && !endStream) return HookStatus.stop;
    const text = frames.map(frame => frame.toString('base64')).join('');
    this.#callbacks.injectResponseData(Buffer.from(text, 'latin1'), endStream);
    return HookStatus.stop;
  }

  onResponseTrailers(trailers: HeaderMap): HookStatus {
    this.#status = trailers.get('grpc-status');
    if (this.#foreignBody !== null) {
      this.#passForeign(this.#foreignBody);
      return HookStatus.stop;
    }
    const frame = encodeTrailersFrame(trailers.entries);
    const bytes = this.#responseText === null ? frame : Buffer.from(frame.toString('base64'), 'latin1');
    this.#callbacks.injectResponseData(bytes, true);
    return HookStatus.stop;
  }

  /** Tells a client that understands gRPC only what the answer was. */
  #passForeign(chunks: readonly Buffer[]): void {
    const headers = this.#callbacks.responseHeaders;
    if (headers === null) return;
    const text = Buffer.concat(chunks).toString('latin1', 0, maxMessageBytes);
    headers.set('grpc-message', encodeGrpcMessage(text));
    headers.set('grpc-status', String(grpcStatusOf(headers.status)));
    headers.set('content-length', '0');
    this.#callbacks.continueResponse();
    this.#callbacks.injectResponseData(nothing, true);
  }

  onStreamComplete(): void {
    const { cluster } = this.#callbacks.streamInfo;
    const [, service, method] = (this.#callbacks.requestHeaders?.path ?? '').split(/[/?]/);
    if (cluster === null || this.#status === undefined || !service || !method) return;
    const prefix = `cluster.${cluster.name}.grpc-web.${service}.${method}.`;
    this.#stats.counter(prefix + (/^\d+$/.test(this.#status) ? this.#status : 'invalid')).inc();
    this.#stats.counter(prefix + (this.#status === '0' ? 'success' : 'failure')).inc();
    this.#stats.counter(`${prefix}total`).inc();
  }
}

/** Requests of other kinds get no filter. */
export function createGrpcWebFilter(_config: unknown, context: FilterFactoryContext): HttpFilterFactory {
  return callbacks => {
    const type = (callbacks.requestHeaders?.get('content-type') ?? '').split(';')[0].trim().toLowerCase();
    const isText = textTypes.has(type);
    return isText || binaryTypes.has(type) ? new GrpcWebFilter(callbacks, isText, context.stats) : null;
  };
}
