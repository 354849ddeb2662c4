/** Who holds back whom: a slow upstream pauses the request's body, a slow downstream the response's. */
import type { HttpFilterCallbacks } from '../http/filter.ts';
import type { Cluster } from '../upstream/cluster-manager.ts';
import type { UpstreamRequest } from './upstream-request.ts';

export class FlowControl {
  readonly #callbacks: HttpFilterCallbacks;
  readonly #request: { readonly cluster: Cluster };
  #attempt: UpstreamRequest | null = null;
  #downstreamPauses = 0;
  #upstreamPauses = 0;

  /** `request` says to which cluster it goes now. */
  constructor(callbacks: HttpFilterCallbacks, request: { readonly cluster: Cluster }) {
    this.#callbacks = callbacks;
    this.#request = request;
  }

  get isDownstreamPaused(): boolean {
    return this.#downstreamPauses > 0;
  }

  /** An attempt got its stream: a downstream that was slow before is slow for it too. */
  attach(attempt: UpstreamRequest): void {
    this.#attempt = attempt;
    this.#callbacks.downstreamWatermarks = this;
    for (let i = 0; i < this.#upstreamPauses; i++) attempt.encoder?.readDisable(true);
  }

  onUpstreamWatermark(isAbove: boolean): void {
    if (!isAbove && this.#downstreamPauses === 0) return;
    this.#downstreamPauses += isAbove ? 1 : -1;
    this.#request.cluster.stats.countFlowControl(isAbove ? 'backed-up' : 'drained');
    this.#callbacks.pauseDownstream(isAbove);
  }

  resumeDownstream(): void {
    while (this.#downstreamPauses > 0) this.onUpstreamWatermark(false);
  }

  /** Nothing is held back any more. */
  end(): void {
    this.#attempt = null;
    this.#callbacks.downstreamWatermarks = null;
    this.resumeDownstream();
  }

  onAboveHighWatermark(): void {
    this.#upstreamPauses++;
    this.#request.cluster.stats.countFlowControl('paused-reading');
    this.#attempt?.encoder?.readDisable(true);
  }

  onBelowLowWatermark(): void {
    this.#upstreamPauses--;
    this.#request.cluster.stats.countFlowControl('resumed-reading');
    this.#attempt?.encoder?.readDisable(false);
  }
}
