/**
 * Checks by `grpc.health.v1.Health/Check`.
 *
 * Source: Envoy's GrpcHealthCheckerImpl and gRPC's health checking protocol.
 */
import type { GrpcCheckModel, HealthCheckModel } from '../../config/model/health-check.ts';
import type { RequestEncoder } from '../../http/codec.ts';
import { HeaderMap } from '../../http/header-map.ts';
import type { WorkerHost } from '../worker-host.ts';
import { addHeaders, userAgent } from './check-headers.ts';
import type { ProbeCallbacks } from './probe.ts';
import { StreamProbe } from './stream-probe.ts';

const frameHeaderBytes = 5;
/** More is no answer to this call. */
const maxResponseBytes = 1024;
/** `HealthCheckResponse{status: SERVING}`: field 1, a varint of 1. */
const serving = Buffer.from([0x08, 0x01]);

export class GrpcProbe extends StreamProbe {
  readonly #check: GrpcCheckModel;
  #received = Buffer.alloc(0);

  constructor(host: WorkerHost, model: HealthCheckModel, check: GrpcCheckModel, callbacks: ProbeCallbacks) {
    super(host, model, 'http2', callbacks);
    this.#check = check;
  }

  protected send(encoder: RequestEncoder): void {
    const check = this.#check;
    this.#received = Buffer.alloc(0);
    const headers = new HeaderMap();
    headers.method = 'POST';
    headers.path = '/grpc.health.v1.Health/Check';
    headers.authority = this.host.healthCheckHostname || check.authority || this.host.cluster.name;
    headers.hasAuthority = true;
    headers.scheme = this.isSecure ? 'https' : 'http';
    headers.add('te', 'trailers');
    headers.add('content-type', 'application/grpc');
    headers.add('user-agent', userAgent);
    addHeaders(headers, check.headersToAdd);
    headers.add('grpc-timeout', `${this.model.timeoutMs}m`);
    encoder.encodeHeaders(headers, false);
    encoder.encodeData(encodeRequest(check.service), true);
  }

  onResponseHeaders(headers: HeaderMap, endStream: boolean): void {
    const status = headers.get('grpc-status');
    const isGrpc = headers.status === 200 && /^application\/grpc(?:\+|$)/.test(headers.get('content-type') ?? '');
    // A response of headers alone cannot hold the answer.
    if (!isGrpc || endStream) this.#decide(false, endStream && status !== undefined);
  }

  onResponseData(data: Buffer, endStream: boolean): void {
    this.#received = Buffer.concat([this.#received, data]);
    if (endStream || this.#received.length > maxResponseBytes) this.#decide(false, endStream);
  }

  onResponseTrailers(trailers: HeaderMap): void {
    this.#decide(trailers.get('grpc-status') === '0' && isServing(this.#received), true);
  }

  #decide(isServing: boolean, isWhole: boolean): void {
    if (!this.finish(isWhole)) return;
    if (isServing) this.callbacks.onSuccess(false);
    else this.callbacks.onFailure('answer', false);
  }
}

/** One uncompressed frame with a `HealthCheckRequest`. */
function encodeRequest(service: string): Buffer {
  const name = Buffer.from(service);
  const message = service === '' ? name : Buffer.concat([Buffer.from([0x0a, ...encodeVarint(name.length)]), name]);
  const frame = Buffer.alloc(frameHeaderBytes);
  frame.writeUInt32BE(message.length, 1);
  return Buffer.concat([frame, message]);
}

function encodeVarint(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...encodeVarint(value >>> 7)];
}

/** Of one uncompressed frame. */
function isServing(frame: Buffer): boolean {
  if (frame.length < frameHeaderBytes || frame[0] !== 0 || frame.readUInt32BE(1) !== frame.length - frameHeaderBytes)
    return false;
  return frame.subarray(frameHeaderBytes).equals(serving);
}
