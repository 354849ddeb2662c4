/**
 * Sends copies of a request to mirror clusters and drops what they answer.
 *
 * Differs from Envoy: the copy is sent when the request is complete, not while it streams.
 */
import type { Timer } from '../../common/timer-wheel.ts';
import type { RequestEncoder, ResponseDecoder } from '../http/codec.ts';
import type { WorkerServices } from '../http/filter.ts';
import type { HeaderMap } from '../http/header-map.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import type {
  Cluster,
  Host,
  LoadBalancerContext,
  PoolCallbacks,
  PoolFailureReason,
  PoolHandle,
} from '../upstream/cluster-manager.ts';
import { readStreamOptions } from '../upstream/stream-options.ts';
import type { Mirror } from './host-selection.ts';
import type { RequestBody } from './request-body.ts';

class MirroredRequest implements ResponseDecoder, PoolCallbacks {
  readonly #cluster: Cluster;
  readonly #host: Host;
  readonly #headers: HeaderMap;
  readonly #chunks: readonly Buffer[];
  readonly #services: WorkerServices;
  #encoder: RequestEncoder | null = null;
  #handle: PoolHandle | null = null;
  #timer: Timer | null = null;
  #done = false;
  readonly #startMs: number;

  constructor(cluster: Cluster, host: Host, headers: HeaderMap, chunks: readonly Buffer[], services: WorkerServices) {
    this.#cluster = cluster;
    this.#host = host;
    this.#headers = headers;
    this.#chunks = chunks;
    this.#services = services;
    this.#startMs = services.timers.now();
  }

  start(info: StreamInfo, timeoutMs: number): void {
    if (timeoutMs > 0) this.#timer = this.#services.timers.schedule(timeoutMs, () => this.#onTimeout());
    const handle = this.#host.newStream(readStreamOptions(info, 0, this.#host), this, this);
    if (!this.#done && this.#encoder === null) this.#handle = handle;
  }

  #onTimeout(): void {
    if (this.#done) return;
    this.#finish(504);
    this.#cluster.stats.countRequestTimeout();
    if (this.#handle !== null) this.#handle.cancel();
    else this.#encoder?.reset('local-reset');
  }

  #finish(status: number, isResponse = false): void {
    if (this.#done) return;
    this.#done = true;
    this.#cluster.stats.countResponse(status, true);
    if (isResponse) this.#cluster.stats.recordRequestTimeMs(Math.round(this.#services.timers.now() - this.#startMs), true);
    this.#host.countOutcome(status < 500);
    if (this.#timer !== null) this.#services.timers.cancel(this.#timer);
  }

  onPoolReady(encoder: RequestEncoder): void {
    this.#handle = null;
    this.#encoder = encoder;
    const chunks = this.#chunks;
    encoder.encodeHeaders(this.#headers, chunks.length === 0);
    for (let i = 0; i < chunks.length; i++) encoder.encodeData(chunks[i], i === chunks.length - 1);
  }

  onPoolFailure(_reason: PoolFailureReason): void {
    this.#handle = null;
    this.#finish(503);
  }

  onResponse1xxHeaders(): void {}

  onResponseHeaders(headers: HeaderMap): void {
    this.#finish(headers.status, true);
  }

  onResponseData(): void {}
  onResponseTrailers(): void {}

  onReset(): void {
    this.#finish(503);
  }

  onAboveWriteBufferHighWatermark(): void {}
  onBelowWriteBufferLowWatermark(): void {}
}

function makeContext(headers: HeaderMap, info: StreamInfo): LoadBalancerContext {
  return {
    hash: null,
    downstream: info.downstream,
    headers,
    metadataMatch: null,
    shouldSelectAnotherHost: () => false,
    hostSelectionMaxAttempts: 0,
    overrideHost: null,
    triedPriorities: null,
  };
}

/** A mirror without cluster or host is dropped. */
export function sendMirrors(
  mirrors: readonly Mirror[],
  body: RequestBody,
  services: WorkerServices,
  timeoutMs: number,
  info: StreamInfo,
): void {
  for (const mirror of mirrors) {
    const cluster = services.clusters.find(mirror.cluster);
    const host = cluster?.chooseHost(makeContext(mirror.headers, info)) ?? null;
    if (cluster === null || host === null) continue;
    new MirroredRequest(cluster, host, mirror.headers, body.chunks, services).start(info, timeoutMs);
  }
}
