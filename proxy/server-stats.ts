/**
 * `server.*`: what the process says of itself.
 *
 * Source: Envoy's ALL_SERVER_STATS.
 */
import { X509Certificate } from 'node:crypto';
import { memoryUsage } from 'node:process';
import type { Gauge, StatsStore } from './telemetry/stats-store.ts';

/** Values of the gauge `server.state`. */
export const serverStates = { LIVE: 0, DRAINING: 1, PRE_INITIALIZING: 2, INITIALIZING: 3 } as const;
export type ServerState = keyof typeof serverStates;

const scope = 'server.';
const dayMs = 86_400_000;
/** What Envoy shows where no certificate is known. */
const noCertificate = 2 ** 32 - 1;

/** Counters that exist from the start; most stay zero, as the events they count do not exist in this process. */
const initialCounters = [
  'debug_assertion_failures',
  'dropped_stat_flushes',
  'dynamic_unknown_fields',
  'envoy_bug_failures',
  'envoy_notifications',
  'main_thread.watchdog_mega_miss',
  'main_thread.watchdog_miss',
  'static_unknown_fields',
  'wip_protos',
] as const;
/** Used from the start, at zero. */
const usedCounters = ['dynamic_unknown_fields', 'static_unknown_fields', 'wip_protos'] as const;
const constantGauges = [
  'compilation_settings.fips_mode',
  'hot_restart_epoch',
  'parent_connections',
  'seconds_until_first_ocsp_response_expiring',
  'version',
] as const;

export interface ServerStatsSources {
  readonly workerCount: number;
  /** Certificates in use, PEM. */
  readonly certificateTexts: () => readonly string[];
  /** Downstream connections of all listeners. */
  readonly connections: () => number;
}

export class ServerStats {
  readonly #stats: StatsStore;
  readonly #sources: ServerStatsSources;
  readonly #state: Gauge;
  readonly #live: Gauge;
  readonly #inflated: readonly Gauge[];
  readonly #refreshed: { readonly [name: string]: Gauge };
  readonly #startMs = Date.now();
  #expiry: { readonly texts: string; readonly timeMs: number } | null = null;

  constructor(stats: StatsStore, sources: ServerStatsSources) {
    this.#stats = stats;
    this.#sources = sources;
    for (const name of initialCounters) stats.counter(scope + name);
    for (const name of constantGauges) stats.gauge(scope + name);
    for (const name of ['compilation_settings.fips_mode', 'version']) stats.gauge(scope + name).set(0);
    for (const name of usedCounters) stats.counter(scope + name).add(0);
    stats.declare('', 'process');
    for (let index = 0; index < sources.workerCount; index++) {
      stats.counter(`${scope}worker_${index}.watchdog_mega_miss`);
      stats.counter(`${scope}worker_${index}.watchdog_miss`);
    }
    stats.gauge(`${scope}concurrency`).set(sources.workerCount);
    const threads = ['main_thread', ...Array.from({ length: sources.workerCount }, (_, index) => `worker_${index}`)];
    this.#inflated = threads.map(name => stats.gauge(`thread_local_cluster_manager.${name}.clusters_inflated`));
    this.#state = stats.gauge(`${scope}state`);
    this.#live = stats.gauge(`${scope}live`);
    const names = [
      'uptime',
      'memory_allocated',
      'memory_heap_size',
      'memory_physical_size',
      'total_connections',
      'days_until_first_cert_expiring',
      'stats_recent_lookups',
    ];
    this.#refreshed = Object.fromEntries(names.map(name => [name, stats.gauge(scope + name)]));
    this.setState('PRE_INITIALIZING');
  }

  setState(state: ServerState): void {
    this.#state.set(serverStates[state]);
    this.#live.set(state === 'LIVE' ? 1 : 0);
  }

  /** From the start of the process until it serves. */
  recordInitializationMs(timeMs: number): void {
    this.#stats.histogram(`${scope}initialization_time_ms`).record(timeMs);
  }

  countUnknownFields(count: number): void {
    this.#stats.counter(`${scope}dynamic_unknown_fields`).add(count);
  }

  /** Every thread knows every cluster. */
  setInflatedClusters(count: number): void {
    for (const gauge of this.#inflated) gauge.set(count);
  }

  /** Brings the gauges up to date that are computed when they are read. */
  refresh(): void {
    const { heapUsed, heapTotal, rss, external } = memoryUsage();
    const gauges = this.#refreshed;
    gauges.uptime.set(Math.floor((Date.now() - this.#startMs) / 1000));
    gauges.memory_allocated.set(heapUsed + external);
    gauges.memory_heap_size.set(heapTotal + external);
    gauges.memory_physical_size.set(rss);
    gauges.total_connections.set(this.#sources.connections());
    gauges.days_until_first_cert_expiring.set(this.#daysUntilExpiry());
    gauges.stats_recent_lookups.set(0);
  }

  #daysUntilExpiry(): number {
    const texts = this.#sources.certificateTexts().join('\n');
    if (this.#expiry?.texts !== texts) this.#expiry = { texts, timeMs: firstExpiryMs(texts) };
    const { timeMs } = this.#expiry;
    return timeMs === Number.POSITIVE_INFINITY ? noCertificate : Math.max(0, Math.floor((timeMs - Date.now()) / dayMs));
  }
}

/** Milliseconds since 1970 when the first certificate of a PEM text ends; Infinity if it holds none. */
function firstExpiryMs(pem: string): number {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  return Math.min(Number.POSITIVE_INFINITY, ...blocks.map(block => Date.parse(new X509Certificate(block).validTo)));
}
