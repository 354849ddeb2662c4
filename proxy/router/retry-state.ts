/**
 * The retries of one request: what may be retried, how often, when, and to which hosts.
 *
 * Source: Envoy's RetryState; the back-off is fully jittered, from 25 ms up to ten times that unless configured.
 */
import { Timer } from '../../common/timer-wheel.ts';
import type { TimerWheel } from '../../common/timer-wheel.ts';
import type { HeaderMap } from '../http/header-map.ts';
import { internHeaderName } from '../http/header-name.ts';
import { ResponseFlag } from '../telemetry/response-flags.ts';
import type { Cluster } from '../upstream/cluster-manager.ts';
import type { HostView } from '../upstream/views.ts';
import type { ResetReason } from './reset-reason.ts';
import { grpcRetryOn, parseRetryOn, RetryOn } from './retry-policy.ts';
import type { RetryPolicy } from './retry-policy.ts';

export type RetryVerdict = 'retry' | 'no' | 'overflow' | 'limit-exceeded';

/** The response flag that tells why a request was not retried. */
export const retryFlags: { readonly [V in RetryVerdict]: number } = {
  retry: 0,
  no: 0,
  overflow: ResponseFlag.upstreamOverflow,
  'limit-exceeded': ResponseFlag.upstreamRetryLimitExceeded,
};

const defaultBaseIntervalMs = 25;
const defaultRetries = 1;
/** Status of gRPC to condition. */
const grpcConditions = new Map<string, number>([
  ['1', RetryOn.cancelled],
  ['4', RetryOn['deadline-exceeded']],
  ['8', RetryOn['resource-exhausted']],
  ['13', RetryOn.internal],
  ['14', RetryOn.unavailable],
]);

const noNames: readonly string[] = [];

export class RetryState {
  readonly #policy: RetryPolicy | null;
  readonly #timers: TimerWheel;
  readonly #random: () => number;
  readonly #retryOn: number;
  readonly #statusCodes: ReadonlySet<number>;
  readonly #headerNames: readonly string[];
  #remaining: number;
  #nextIntervalMs: number;
  #timer: Timer | null = null;
  /** Where the place of the running retry is taken; null between retries. */
  #charged: { readonly cluster: Cluster; readonly priority: 0 | 1 } | null = null;
  #attemptedHosts: HostView[] | null = null;

  constructor(
    policy: RetryPolicy | null,
    retryOn: number,
    headers: HeaderMap,
    timers: TimerWheel,
    random: () => number = Math.random,
  ) {
    this.#policy = policy;
    this.#timers = timers;
    this.#random = random;
    this.#retryOn = retryOn;
    this.#remaining = readCount(headers.get('x-envoy-max-retries')) ?? policy?.model.numRetries ?? defaultRetries;
    this.#nextIntervalMs = policy?.model.baseIntervalMs ?? defaultBaseIntervalMs;
    const codes = headers.get('x-envoy-retriable-status-codes');
    this.#statusCodes = codes === undefined ? (policy?.statusCodes ?? new Set()) : extendCodes(policy, codes);
    const names = headers.get('x-envoy-retriable-header-names');
    this.#headerNames = names === undefined ? noNames : splitList(names).map(internHeaderName);
  }

  get hostSelectionMaxAttempts(): number {
    return this.#policy?.model.hostSelectionMaxAttempts ?? 0;
  }

  get triedPriorities(): readonly number[] | null {
    const previous = this.#policy?.model.previousPriorities ?? null;
    if (previous === null || this.#attemptedHosts === null) return null;
    // The priorities change only after every `updateFrequency` attempts.
    const counted = this.#attemptedHosts.length - (this.#attemptedHosts.length % previous.updateFrequency);
    return this.#attemptedHosts.slice(0, counted).map(host => host.priority);
  }

  onHostAttempted(host: HostView): void {
    if (this.#policy === null || !(this.#policy.model.previousHosts || this.#policy.model.previousPriorities !== null)) return;
    if (this.#attemptedHosts === null) this.#attemptedHosts = [host];
    else this.#attemptedHosts.push(host);
  }

  shouldSelectAnotherHost(host: HostView): boolean {
    return this.#attemptedHosts !== null && (this.#policy?.model.previousHosts ?? false) && this.#attemptedHosts.includes(host);
  }

  /** Asked with each response; `retry` arms the back-off and takes a place among the cluster's retries. */
  shouldRetryHeaders(headers: HeaderMap, cluster: Cluster, priority: 0 | 1, retry: () => void): RetryVerdict {
    return this.#decide(this.#wantsRetryOfResponse(headers), cluster, priority, retry, headers);
  }

  shouldRetryReset(
    reason: ResetReason,
    requestStarted: boolean,
    cluster: Cluster,
    priority: 0 | 1,
    retry: () => void,
  ): RetryVerdict {
    return this.#decide(this.#wantsRetryOfReset(reason, requestStarted), cluster, priority, retry);
  }

  /** What a response would have been, had its attempt not been retried before: bad. */
  wouldRetry(headers: HeaderMap): boolean {
    return this.#wantsRetryOfResponse(headers);
  }

  /** A retry beside an attempt that is slow needs no condition. */
  shouldHedge(cluster: Cluster, priority: 0 | 1, retry: () => void): RetryVerdict {
    return this.#decide(true, cluster, priority, retry);
  }

  /** Gives back the running retry's place and stops the back-off. */
  stop(): void {
    if (this.#timer !== null) this.#timers.cancel(this.#timer);
    this.#charged?.cluster.resources.releaseRetry(this.#charged.priority);
    this.#charged = null;
  }

  #wantsRetryOfResponse(headers: HeaderMap): boolean {
    const { status } = headers;
    if (headers.has('x-envoy-ratelimited')) return (this.#retryOn & RetryOn['envoy-ratelimited']) !== 0;
    if (this.#retryOn & RetryOn['5xx'] && status >= 500 && status < 600) return true;
    if (this.#retryOn & RetryOn['gateway-error'] && status >= 502 && status <= 504) return true;
    if (this.#retryOn & RetryOn['retriable-4xx'] && status === 409) return true;
    if (this.#retryOn & RetryOn['retriable-status-codes'] && this.#statusCodes.has(status)) return true;
    if (this.#retryOn & RetryOn['retriable-headers'] && this.#hasRetriableHeader(headers)) return true;
    if ((this.#retryOn & grpcRetryOn) === 0) return false;
    return (this.#retryOn & (grpcConditions.get(headers.get('grpc-status') ?? '') ?? 0)) !== 0;
  }

  #hasRetriableHeader(headers: HeaderMap): boolean {
    if (this.#policy?.retriableHeaders.some(accepts => accepts(headers))) return true;
    return this.#headerNames.some(name => headers.has(name));
  }

  #wantsRetryOfReset(reason: ResetReason, requestStarted: boolean): boolean {
    if (reason.kind === 'overflow') return false;
    if (this.#retryOn & RetryOn.reset) return true;
    if (this.#retryOn & RetryOn['reset-before-request'] && !requestStarted) return true;
    if (this.#retryOn & (RetryOn['5xx'] | RetryOn['gateway-error'])) return true;
    if (this.#retryOn & RetryOn['refused-stream'] && reason.kind === 'refused-stream') return true;
    return (this.#retryOn & RetryOn['connect-failure']) !== 0 && reason.kind === 'connect-failure';
  }

  #decide(wanted: boolean, cluster: Cluster, priority: 0 | 1, retry: () => void, headers?: HeaderMap): RetryVerdict {
    // A retry that ran and is not wanted again has succeeded.
    if (this.#charged !== null && !wanted) cluster.stats.countRetry('success');
    this.stop();
    if (!wanted) return 'no';
    if (this.#remaining === 0) {
      cluster.stats.countRetry('limit-exceeded');
      return 'limit-exceeded';
    }
    this.#remaining--;
    if (!cluster.resources.tryRetry(priority)) {
      cluster.stats.countRetry('overflow');
      return 'overflow';
    }
    this.#charged = { cluster, priority };
    cluster.stats.countRetry('started');
    const resetMs = headers === undefined ? null : this.#readResetMs(headers);
    cluster.stats.countRetry(resetMs === null ? 'backoff-exponential' : 'backoff-ratelimited');
    this.#timer = new Timer(retry);
    // What the upstream asks for is the least: up to a half more keeps its clients from coming back at once.
    this.#timers.arm(
      this.#timer,
      resetMs === null ? this.#nextBackoffMs() : resetMs + Math.floor(this.#random() * (resetMs / 2)),
    );
    return 'retry';
  }

  /** The time that a response asks to wait; null: it does not, or for too long. */
  #readResetMs(headers: HeaderMap): number | null {
    const backOff = this.#policy?.model.rateLimitedBackOff;
    for (const { name, format } of backOff?.resetHeaders ?? []) {
      const seconds = readCount(headers.get(name));
      if (seconds === null) continue;
      const intervalMs = format === 'seconds' ? seconds * 1000 : seconds * 1000 - Math.floor(Date.now() / 1000) * 1000;
      if (intervalMs >= 0 && intervalMs <= (backOff?.maxIntervalMs ?? 0)) return intervalMs;
    }
    return null;
  }

  #nextBackoffMs(): number {
    const intervalMs = this.#nextIntervalMs;
    const maximumMs = this.#policy?.model.maxIntervalMs ?? 10 * defaultBaseIntervalMs;
    this.#nextIntervalMs = Math.min(intervalMs * 2, maximumMs);
    return Math.floor(this.#random() * intervalMs);
  }
}

function readCount(text: string | undefined): number | null {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : null;
}

function splitList(text: string): string[] {
  return text
    .split(',')
    .map(member => member.trim().toLowerCase())
    .filter(member => member !== '');
}

function extendCodes(policy: RetryPolicy | null, text: string): ReadonlySet<number> {
  const codes = new Set(policy?.statusCodes);
  for (const member of splitList(text)) if (/^\d+$/.test(member)) codes.add(Number(member));
  return codes;
}

const controlHeaders = [
  'x-envoy-retry-on',
  'x-envoy-retry-grpc-on',
  'x-envoy-max-retries',
  'x-envoy-retriable-header-names',
  'x-envoy-retriable-status-codes',
];

/** The retries of a request by its route's policy and its own headers, which are removed; null if it may not be retried. */
export function createRetryState(policy: RetryPolicy | null, headers: HeaderMap, timers: TimerWheel): RetryState | null {
  let retryOn = policy?.retryOn ?? 0;
  const asked = headers.get('x-envoy-retry-on');
  const askedGrpc = headers.get('x-envoy-retry-grpc-on');
  if (retryOn === 0 && asked === undefined && askedGrpc === undefined) {
    for (const name of controlHeaders) headers.remove(name);
    return null;
  }
  if (asked !== undefined) retryOn |= parseRetryOn(asked.split(',')) & ~grpcRetryOn;
  if (askedGrpc !== undefined) retryOn |= parseRetryOn(askedGrpc.split(',')) & grpcRetryOn;
  const mayRetry = retryOn !== 0 && (policy === null || policy.retriableRequest === null || policy.retriableRequest(headers));
  const state = mayRetry ? new RetryState(policy, retryOn, headers, timers) : null;
  for (const name of controlHeaders) headers.remove(name);
  return state;
}
