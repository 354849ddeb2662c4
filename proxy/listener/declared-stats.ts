/** Makes the statistics of a listener visible before its first connection, as the workers make them when they need them. */
import { TimerWheel } from '../../common/timer-wheel.ts';
import type { HttpConnectionManagerModel } from '../config/model/http-connection-manager.ts';
import type { FilterChainModel, ListenerModel } from '../config/model/listener.ts';
import { type SecretLookup, SecretStats } from '../network/tls/secret-stats.ts';
import type { StatsStore } from '../telemetry/stats-store.ts';
import { listenerStatName } from './listener-stats.ts';

export class DeclaredListenerStats {
  readonly #stats: StatsStore;
  readonly #workerCount: number;
  readonly #drainTimeMs: number;
  readonly #timers = new TimerWheel();
  readonly #findSecret: SecretLookup;
  readonly #listeners = new Map<string, { readonly scope: StatsStore; readonly secrets: SecretStats | null }>();

  constructor(stats: StatsStore, workerCount: number, drainTimeMs: number, findSecret: SecretLookup) {
    this.#stats = stats;
    this.#workerCount = workerCount;
    this.#drainTimeMs = drainTimeMs;
    this.#findSecret = findSecret;
  }

  /** A new or changed listener. */
  update(model: ListenerModel): void {
    const previous = this.#listeners.get(model.name);
    const scope = this.#stats.createScope();
    declareListenerStats(scope, model, this.#workerCount);
    const sockets = chainsOf(model).map(({ transportSocket }) => transportSocket);
    const isSecure = sockets.some(({ kind }) => kind !== 'raw-buffer');
    const secrets = isSecure ? new SecretStats(scope, scopeOf(model), sockets, this.#findSecret) : null;
    this.#listeners.set(model.name, { scope, secrets });
    // What both versions have must not begin at zero.
    previous?.scope.release();
  }

  onSecret(key: string): void {
    for (const { secrets } of this.#listeners.values()) secrets?.onSecret(key);
  }

  /** What is gone goes on for the drain time: a scrape in between sees the end of its connections. */
  remove(name: string): void {
    const listener = this.#listeners.get(name);
    this.#listeners.delete(name);
    if (listener !== undefined) this.#timers.schedule(this.#drainTimeMs, () => listener.scope.release());
  }
}

const scopeOf = ({ statPrefix, addresses }: ListenerModel): string => `${listenerStatName(statPrefix, addresses[0])}.`;

const chainsOf = ({ filterChains, defaultFilterChain }: ListenerModel): readonly FilterChainModel[] =>
  defaultFilterChain === null ? filterChains : [...filterChains, defaultFilterChain];

function declareListenerStats(stats: StatsStore, model: ListenerModel, workerCount: number): void {
  const scope = scopeOf(model);
  stats.declare(scope, 'listener');
  for (let index = 0; index < workerCount; index++) stats.declare(`${scope}worker_${index}.`, 'listener-worker');
  for (const { kind } of model.listenerFilters) {
    if (kind === 'envoy.filters.listener.tls_inspector') stats.declare('tls_inspector.', 'tls-inspector');
    else if (kind === 'envoy.filters.listener.http_inspector') stats.declare('http_inspector.', 'http-inspector');
  }
  for (const { transportSocket, filters } of chainsOf(model)) {
    if (transportSocket.kind !== 'raw-buffer') stats.declare(scope, 'downstream-tls');
    for (const { kind, config } of filters) {
      const statPrefix = (config as Partial<HttpConnectionManagerModel> | null)?.statPrefix;
      if (statPrefix === undefined) continue;
      if (kind === 'envoy.filters.network.http_connection_manager') {
        stats.declare(`http.${statPrefix}.`, 'connection-manager');
        stats.declare(`${scope}http.${statPrefix}.`, 'responses');
        declareFilters(stats, statPrefix, config as HttpConnectionManagerModel);
      } else if (kind === 'envoy.filters.network.tcp_proxy') {
        stats.declare(`tcp.${statPrefix}.`, 'tcp-proxy');
      }
    }
  }
}

/** Of filters that count under their connection manager. */
function declareFilters(stats: StatsStore, statPrefix: string, { httpFilters }: HttpConnectionManagerModel): void {
  for (const { kind } of httpFilters) {
    if (kind === 'envoy.filters.http.fault') stats.declare(`http.${statPrefix}.fault.`, 'fault');
    else if (kind === 'envoy.filters.http.cors') stats.declare(`http.${statPrefix}.cors.`, 'cors');
  }
}
