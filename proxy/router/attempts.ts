/**
 * The attempts of one request. Usually one follows another; a hedged retry starts while the slow attempt before it still runs, and
 * whoever answers well first wins.
 */
import type { HeaderMap } from '../http/header-map.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import type { Cluster } from '../upstream/cluster-manager.ts';
import type { ResetReason } from './reset-reason.ts';
import { retryFlags } from './retry-state.ts';
import type { RetryState, RetryVerdict } from './retry-state.ts';
import type { UpstreamRequest } from './upstream-request.ts';

/** `final`: the answer is good, or as good as it gets. `refused`: it is bad, and could not be retried. */
export type ResponseVerdict = 'retry' | 'refused' | 'final';

export class Attempts {
  readonly #info: StreamInfo;
  readonly #priority: 0 | 1;
  readonly #running: UpstreamRequest[] = [];
  #retryState: RetryState | null = null;
  /** Retries whose time has not come. */
  #waiting = 0;

  constructor(info: StreamInfo, priority: 0 | 1) {
    this.#info = info;
    this.#priority = priority;
    info.upstreamRequestAttemptCount = 1;
  }

  get retryState(): RetryState | null {
    return this.#retryState;
  }

  set retryState(state: RetryState | null) {
    this.#retryState = state;
  }

  get latest(): UpstreamRequest | null {
    return this.#running.at(-1) ?? null;
  }

  get running(): readonly UpstreamRequest[] {
    return this.#running;
  }

  /** Of all that were begun. */
  get count(): number {
    return this.#info.upstreamRequestAttemptCount;
  }

  has(attempt: UpstreamRequest): boolean {
    return this.#running.includes(attempt);
  }

  /** Another attempt, running or to come, may still answer. */
  get mayStillAnswer(): boolean {
    return this.#waiting > 0 || this.#running.some(attempt => !attempt.hasResponse);
  }

  add(attempt: UpstreamRequest): void {
    this.#running.push(attempt);
    this.#retryState?.onHostAttempted(attempt.host);
  }

  remove(attempt: UpstreamRequest): void {
    const index = this.#running.indexOf(attempt);
    if (index !== -1) this.#running.splice(index, 1);
  }

  /** A retry's time has come. */
  begin(): void {
    this.#waiting--;
    this.#info.upstreamRequestAttemptCount++;
  }

  /** Says what becomes of a response; an attempt that is retried ends. */
  judgeResponse(
    attempt: UpstreamRequest,
    headers: HeaderMap,
    endStream: boolean,
    cluster: Cluster,
    retry: () => void,
  ): ResponseVerdict {
    if (this.#retryState === null) return 'final';
    if (attempt.isHedged) return this.#retryState.wouldRetry(headers) ? 'refused' : 'final';
    const verdict = this.#retryState.shouldRetryHeaders(headers, cluster, this.#priority, retry);
    if (!this.#note(verdict)) return verdict === 'no' ? 'final' : 'refused';
    cluster.stats.countRetriedResponse(headers.status);
    this.#onRetry(attempt);
    if (endStream) attempt.complete();
    else attempt.abandon();
    return 'retry';
  }

  /** A bad response that others may better. */
  discard(attempt: UpstreamRequest): void {
    attempt.host.countOutcome(false);
    this.remove(attempt);
    attempt.abandon();
  }

  /** True if the attempt, which has ended without a response, is retried. */
  retryReset(attempt: UpstreamRequest, reason: ResetReason, cluster: Cluster, retry: () => void): boolean {
    if (this.#retryState === null || attempt.isHedged) return false;
    const verdict = this.#retryState.shouldRetryReset(reason, attempt.requestStarted, cluster, this.#priority, retry);
    if (!this.#note(verdict)) return false;
    this.#onRetry(attempt);
    return true;
  }

  /** The attempt is slow: a retry starts beside it, if there is one left. */
  hedge(attempt: UpstreamRequest, cluster: Cluster, retry: () => void): void {
    attempt.host.reportResult({ kind: 'request-timeout' });
    attempt.isTimeoutReported = true;
    if (this.#retryState === null || attempt.isHedged) return;
    if (!this.#note(this.#retryState.shouldHedge(cluster, this.#priority, retry))) return;
    attempt.isHedged = true;
    this.#waiting++;
  }

  #note(verdict: RetryVerdict): boolean {
    if (verdict === 'retry') return true;
    this.#info.setFlag(retryFlags[verdict]);
    return false;
  }

  #onRetry(attempt: UpstreamRequest): void {
    this.#waiting++;
    attempt.host.countOutcome(false);
    this.remove(attempt);
  }

  dropRetries(): void {
    this.#retryState?.stop();
    this.#retryState = null;
    this.#waiting = 0;
  }

  /** This attempt's response is the one: the others end. */
  choose(attempt: UpstreamRequest): void {
    if (this.#running.length === 1) return;
    for (const other of this.#running.splice(0)) if (other !== attempt) other.abandon();
    this.#running.push(attempt);
    attempt.describe(this.#info);
  }

  /** Ends whatever runs or waits. */
  stop(): void {
    this.dropRetries();
    for (const attempt of this.#running.splice(0)) attempt.abandon();
  }
}
