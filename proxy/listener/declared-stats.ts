/** Makes the statistics of a listener visible before its first connection, as the workers make them when they need them. */
import type { HttpConnectionManagerModel } from '../config/model/http-connection-manager.ts';
import type { ListenerModel } from '../config/model/listener.ts';
import type { StatsStore } from '../telemetry/stats-store.ts';
import { listenerStatName } from './listener-stats.ts';

export class DeclaredListenerStats {
  readonly #stats: StatsStore;
  readonly #workerCount: number;
  readonly #scopes = new Map<string, StatsStore>();

  constructor(stats: StatsStore, workerCount: number) {
    this.#stats = stats;
    this.#workerCount = workerCount;
  }

  /** A new or changed listener. */
  update(model: ListenerModel): void {
    const previous = this.#scopes.get(model.name);
    const scope = this.#stats.createScope();
    declareListenerStats(scope, model, this.#workerCount);
    this.#scopes.set(model.name, scope);
    // What both versions have must not begin at zero.
    previous?.release();
  }

  remove(name: string): void {
    this.#scopes.get(name)?.release();
    this.#scopes.delete(name);
  }
}

function declareListenerStats(stats: StatsStore, model: ListenerModel, workerCount: number): void {
  const scope = `${listenerStatName(model.statPrefix, model.addresses[0])}.`;
  stats.declare(scope, 'listener');
  for (let index = 0; index < workerCount; index++) stats.declare(`${scope}worker_${index}.`, 'listener-worker');
  for (const { kind } of model.listenerFilters) {
    if (kind === 'envoy.filters.listener.tls_inspector') stats.declare('tls_inspector.', 'tls-inspector');
    else if (kind === 'envoy.filters.listener.http_inspector') stats.declare('http_inspector.', 'http-inspector');
  }
  const chains = model.defaultFilterChain === null ? model.filterChains : [...model.filterChains, model.defaultFilterChain];
  for (const { transportSocket, filters } of chains) {
    if (transportSocket.kind !== 'raw-buffer') stats.declare(scope, 'downstream-tls');
    for (const { kind, config } of filters) {
      const statPrefix = (config as Partial<HttpConnectionManagerModel> | null)?.statPrefix;
      if (statPrefix === undefined) continue;
      if (kind === 'envoy.filters.network.http_connection_manager') {
        stats.declare(`http.${statPrefix}.`, 'connection-manager');
        stats.declare(`${scope}http.${statPrefix}.`, 'responses');
      } else if (kind === 'envoy.filters.network.tcp_proxy') {
        stats.declare(`tcp.${statPrefix}.`, 'tcp-proxy');
      }
    }
  }
}
