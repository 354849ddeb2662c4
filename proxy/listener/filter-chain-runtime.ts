/** One filter chain on one worker: its factories, made when the first connection needs them, and its connections. */
import { Timer } from '../../common/timer-wheel.ts';
import type { FilterChainModel, FilterModel } from '../config/model/listener.ts';
import type { NodeModel, WorkerServices } from '../http/filter.ts';
import type { ListenerScope, NetworkFactoryContext, NetworkFilterBuilders, NetworkFilterFactory } from '../network/filter.ts';
import type { SecretContexts } from '../network/tls/secret-contexts.ts';
import { ServerTls } from '../network/tls/server-handshake.ts';
import { SslStats } from '../network/tls/ssl-stats.ts';
import type { StatsStore } from '../telemetry/stats-store.ts';
import type { ListenerStats } from './listener-stats.ts';

/** What the listeners of one worker share. */
export interface ListenerServices {
  readonly stats: StatsStore;
  readonly node: NodeModel;
  readonly services: WorkerServices;
  readonly networkFilters: NetworkFilterBuilders;
  readonly contexts: SecretContexts;
  /** Milliseconds that connections of a removed chain may go on. */
  readonly drainTimeMs: number;
  /** 0: no limit. */
  readonly globalConnectionLimit: number;
  /** Open downstream connections per worker, in shared memory; this worker writes its own. */
  readonly connectionCounts: Int32Array;
}

const secretsNotReadyName = 'server_ssl_socket_factory.downstream_context_secrets_not_ready';

/** A connection that a chain may have to end. */
export interface DrainableConnection {
  closeForDrain(): void;
}

export interface ChainOwner {
  readonly scope: Omit<ListenerScope, 'filterChainMetadata'>;
  readonly trafficDirection: NetworkFactoryContext['trafficDirection'];
  readonly statScope: StatsStore;
  readonly stats: ListenerStats;
}

export class FilterChainRuntime {
  readonly model: FilterChainModel;
  readonly connections = new Set<DrainableConnection>();
  readonly #owner: ChainOwner;
  readonly #shared: ListenerServices;
  #factories: readonly NetworkFilterFactory[] | null = null;
  #serverTls: ServerTls | null = null;
  #draining = false;

  constructor(model: FilterChainModel, owner: ChainOwner, shared: ListenerServices) {
    this.model = model;
    this.#owner = owner;
    this.#shared = shared;
  }

  /** Null for plain bytes. */
  get serverTls(): ServerTls | null {
    const { transportSocket, match, transportSocketConnectTimeoutMs } = this.model;
    if (transportSocket.kind === 'raw-buffer') return null;
    this.#serverTls ??= new ServerTls(transportSocket, match.serverNames, transportSocketConnectTimeoutMs, {
      contexts: this.#shared.contexts,
      timers: this.#shared.services.timers,
      stats: new SslStats(this.#owner.statScope, this.#owner.scope.statName),
      handshakeTimeout: this.#owner.stats.transportSocketConnectTimeout,
      secretsNotReady: this.#owner.statScope.counter(`${this.#owner.scope.statName}.${secretsNotReadyName}`),
    });
    return this.#serverTls;
  }

  get factories(): readonly NetworkFilterFactory[] {
    this.#factories ??= this.model.filters.map(filter => this.#build(filter));
    return this.#factories;
  }

  #build(filter: FilterModel): NetworkFilterFactory {
    const builder = this.#shared.networkFilters[filter.kind];
    // The configuration was accepted, so that the two manifests disagree: nothing may pass unfiltered.
    if (builder === undefined) throw new Error(`network filter ${filter.kind} has no implementation`);
    const { services } = this.#shared;
    return builder(filter.config as never, {
      stats: this.#owner.statScope,
      node: this.#shared.node,
      trafficDirection: this.#owner.trafficDirection,
      services: {
        ...services,
        drain: { isDraining: direction => this.#draining || services.drain.isDraining(direction) },
      },
      listener: { ...this.#owner.scope, filterChainMetadata: this.model.metadata },
    });
  }

  /** The chain is gone from the configuration: connections are asked to end, and closed when the drain time is over. */
  drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    const timer = new Timer(() => {
      for (const connection of [...this.connections]) connection.closeForDrain();
    });
    if (this.connections.size > 0) this.#shared.services.timers.arm(timer, this.#shared.drainTimeMs);
  }
}
