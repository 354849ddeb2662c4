/**
 * Counters of discovery, under Envoy's names.
 *
 * Source: Envoy's subscription statistics (`all_subscription_stats`) and control plane statistics.
 */
import type { Counter, Gauge, Histogram, StatsStore, TextReadout } from '../telemetry/stats-store.ts';

/**
 * `<scope>update_success` and its siblings, for one subscription; they exist until its release. As in Envoy the subscription's
 * begin is an attempt, and what becomes of one is the begin of the next.
 */
export class SubscriptionStats {
  protected readonly stats: StatsStore;
  readonly #attempt: Counter;
  readonly #success: Counter;
  readonly #failure: Counter;
  readonly #rejected: Counter;
  readonly #initFetchTimeout: Counter;
  readonly #time: Gauge;
  readonly #version: Gauge;
  readonly #duration: Histogram;
  readonly #versionText: TextReadout;
  /** Of the last accepted update. */
  versionInfo = '';

  /** `scope` with its final dot: `cluster_manager.cds.`. */
  constructor(parent: StatsStore, scope: string) {
    const stats = parent.createScope();
    this.stats = stats;
    this.#attempt = stats.counter(`${scope}update_attempt`);
    this.#success = stats.counter(`${scope}update_success`);
    this.#failure = stats.counter(`${scope}update_failure`);
    this.#rejected = stats.counter(`${scope}update_rejected`);
    this.#initFetchTimeout = stats.counter(`${scope}init_fetch_timeout`);
    this.#time = stats.gauge(`${scope}update_time`);
    this.#version = stats.gauge(`${scope}version`);
    this.#duration = stats.histogram(`${scope}update_duration`);
    this.#versionText = stats.textReadout(`${scope}version_text`);
    this.#attempt.inc();
  }

  countFailure(): void {
    this.#failure.inc();
    this.#attempt.inc();
  }
  countRejected(): void {
    this.#rejected.inc();
    this.#attempt.inc();
  }
  countFetchTimeout(): void {
    this.#initFetchTimeout.inc();
    this.#attempt.inc();
  }
  countSuccess(versionInfo: string, durationMs: number): void {
    this.#success.inc();
    this.#attempt.inc();
    this.#time.set(Date.now());
    this.#version.set(recallHash(versionInfo));
    this.#duration.record(durationMs);
    this.#versionText.set(versionInfo);
    this.versionInfo = versionInfo;
  }

  release(): void {
    this.stats.release();
  }
}

/** Of a subscription to routes. */
export class RouteSubscriptionStats extends SubscriptionStats {
  readonly #reload: Counter;
  readonly #reloadTime: Gauge;

  constructor(parent: StatsStore, scope: string) {
    super(parent, scope);
    this.#reload = this.stats.counter(`${scope}config_reload`);
    this.#reloadTime = this.stats.gauge(`${scope}config_reload_time_ms`);
    this.stats.counter(`${scope}update_empty`);
  }

  /** Other routes are in effect. */
  countReload(): void {
    this.#reload.inc();
    this.#reloadTime.set(Date.now());
  }
}

/** `control_plane.*` of the aggregated stream. */
export class ControlPlaneStats {
  readonly connected: Gauge;
  readonly pendingRequests: Gauge;
  readonly #rateLimitEnforced: Counter;
  /** Identifier that the server gave. */
  identifier = '';

  constructor(stats: StatsStore) {
    this.connected = stats.gauge('control_plane.connected_state');
    this.pendingRequests = stats.gauge('control_plane.pending_requests');
    this.#rateLimitEnforced = stats.counter('control_plane.rate_limit_enforced');
    this.connected.set(0);
    this.pendingRequests.set(0);
  }

  countRateLimit(): void {
    this.#rateLimitEnforced.inc();
  }
}

const mask64 = (1n << 64n) - 1n;
const primes = [0x9e3779b185ebca87n, 0xc2b2ae3d27d4eb4fn, 0x165667b19e3779f9n, 0x85ebca77c2b2ae63n, 0x27d4eb2f165667c5n] as const;

const rotate = (value: bigint, bits: bigint): bigint => ((value << bits) | (value >> (64n - bits))) & mask64;
const multiply = (a: bigint, b: bigint): bigint => (a * b) & mask64;
const round = (accumulator: bigint, lane: bigint): bigint =>
  multiply(rotate((accumulator + multiply(lane, primes[1])) & mask64, 31n), primes[0]);

/** Of one push every endpoint has the same version. */
let lastHashed = { text: '', hash: 0 };

/** What `hashVersion` gives, which takes its time. */
function recallHash(text: string): number {
  if (lastHashed.text !== text || text === '') lastHashed = { text, hash: hashVersion(text) };
  return lastHashed.hash;
}

/** xxHash64 with seed 0 of a version text, as the `version` gauge shows it; its low bits are lost in a double. */
export function hashVersion(text: string): number {
  const bytes = Buffer.from(text);
  let offset = 0;
  let hash = (primes[4] + 0n) & mask64;
  if (bytes.length >= 32) {
    const lanes = [(primes[0] + primes[1]) & mask64, primes[1], 0n, (mask64 + 1n - primes[0]) & mask64];
    for (; offset + 32 <= bytes.length; offset += 32) {
      for (let i = 0; i < 4; i++) lanes[i] = round(lanes[i], bytes.readBigUInt64LE(offset + i * 8));
    }
    hash = (rotate(lanes[0], 1n) + rotate(lanes[1], 7n) + rotate(lanes[2], 12n) + rotate(lanes[3], 18n)) & mask64;
    for (const lane of lanes) hash = (multiply(hash ^ round(0n, lane), primes[0]) + primes[3]) & mask64;
  }
  hash = (hash + BigInt(bytes.length)) & mask64;
  for (; offset + 8 <= bytes.length; offset += 8) {
    hash = (multiply(rotate(hash ^ round(0n, bytes.readBigUInt64LE(offset)), 27n), primes[0]) + primes[3]) & mask64;
  }
  if (offset + 4 <= bytes.length) {
    hash =
      (multiply(rotate(hash ^ multiply(BigInt(bytes.readUInt32LE(offset)), primes[0]), 23n), primes[1]) + primes[2]) & mask64;
    offset += 4;
  }
  for (; offset < bytes.length; offset++)
    hash = multiply(rotate(hash ^ multiply(BigInt(bytes[offset]), primes[4]), 11n), primes[0]);
  hash = multiply(hash ^ (hash >> 33n), primes[1]);
  hash = multiply(hash ^ (hash >> 29n), primes[2]);
  return Number(hash ^ (hash >> 32n));
}
