/** One listener on one worker: its current chains, its filters, its counters. */
import type { FilterChainModel, ListenerFilterModel, ListenerModel } from '../config/model/listener.ts';
import type { AccessLogger } from '../telemetry/access-log.ts';
import type { StatsStore } from '../telemetry/stats-store.ts';
import { FilterChainMatcher } from './filter-chain-matcher.ts';
import { type ChainOwner, FilterChainRuntime, type ListenerServices } from './filter-chain-runtime.ts';
import { createHttpInspectorFactory } from './http-inspector.ts';
import { compilePredicate, type ListenerFilterFactory } from './listener-filter.ts';
import { ListenerStats, listenerStatName } from './listener-stats.ts';
import { createOriginalDst } from './original-dst.ts';
import { createOriginalSrcFactory, type OriginalSrcModel } from './original-src.ts';
import { createProxyProtocolFactory, type ProxyProtocolFilterModel } from './proxy-protocol.ts';
import { createTlsInspectorFactory } from './tls-inspector.ts';

export interface ConfiguredListenerFilter {
  readonly create: ListenerFilterFactory;
  readonly isDisabled: (destinationPort: number) => boolean;
}

export class ListenerRuntime implements ChainOwner {
  readonly name: string;
  /** Of everything below this listener: what a chain counted outlives the chain. */
  readonly statScope: StatsStore;
  readonly stats: ListenerStats;
  readonly #shared: ListenerServices;
  model!: ListenerModel;
  scope!: ChainOwner['scope'];
  filters: readonly ConfiguredListenerFilter[] = [];
  accessLogs: readonly AccessLogger[] = [];
  #matcher!: FilterChainMatcher<FilterChainRuntime>;
  /** Chains by content. */
  #chains = new Map<string, FilterChainRuntime>();
  #fingerprint = '';

  constructor(model: ListenerModel, shared: ListenerServices) {
    this.name = model.name;
    this.#shared = shared;
    const statName = listenerStatName(model.statPrefix, model.addresses[0]);
    this.statScope = shared.stats.createScope();
    this.stats = new ListenerStats(this.statScope, statName, shared.services.workerIndex);
    this.update(model);
  }

  get trafficDirection(): ChainOwner['trafficDirection'] {
    return this.model.trafficDirection;
  }

  /** Takes a new version: chains with the same content go on with their connections, the others drain. */
  update(model: ListenerModel): void {
    const fingerprint = JSON.stringify({ ...model, hash: null, filterChains: null, defaultFilterChain: null });
    const reusable = fingerprint === this.#fingerprint ? this.#chains : new Map<string, FilterChainRuntime>();
    const previous = this.#chains;
    this.#fingerprint = fingerprint;
    this.model = model;
    this.scope = { name: model.name, statName: listenerStatName(model.statPrefix, model.addresses[0]), metadata: model.metadata };
    this.filters = model.listenerFilters.map(filter => ({
      create: this.#filterFactory(filter),
      isDisabled: compilePredicate(filter.disabled),
    }));
    this.accessLogs = this.#shared.services.accessLogs.create(model.accessLogs);
    this.#chains = new Map();
    const take = (chain: FilterChainModel): FilterChainRuntime => {
      const key = `${chain.hash}|${chain.name}`;
      const runtime = this.#chains.get(key) ?? reusable.get(key) ?? new FilterChainRuntime(chain, this, this.#shared);
      this.#chains.set(key, runtime);
      return runtime;
    };
    this.#matcher = new FilterChainMatcher(
      model.filterChains.map(chain => ({ match: chain.match, value: take(chain) })),
      model.defaultFilterChain === null ? null : take(model.defaultFilterChain),
    );
    for (const [key, chain] of previous) if (this.#chains.get(key) !== chain) chain.drain();
  }

  #filterFactory({ kind, config }: ListenerFilterModel): ListenerFilterFactory {
    switch (kind) {
      case 'envoy.filters.listener.original_dst':
        return createOriginalDst;
      case 'envoy.filters.listener.original_src':
        return createOriginalSrcFactory(config as OriginalSrcModel);
      case 'envoy.filters.listener.tls_inspector':
        return createTlsInspectorFactory(this.statScope);
      case 'envoy.filters.listener.proxy_protocol':
        return createProxyProtocolFactory(config as ProxyProtocolFilterModel, this.statScope);
      case 'envoy.filters.listener.http_inspector':
        return createHttpInspectorFactory(this.statScope);
      default:
        throw new Error(`listener filter ${kind} has no implementation`);
    }
  }

  /** Null if no chain fits. */
  findFilterChain(info: Parameters<FilterChainMatcher<FilterChainRuntime>['find']>[0]): FilterChainRuntime | null {
    return this.#matcher.find(info);
  }

  /** The listener is gone: every chain drains, and then its statistics end. */
  drain(): void {
    for (const chain of this.#chains.values()) chain.drain();
    this.#shared.services.timers.schedule(this.#shared.drainTimeMs, () => this.statScope.release());
  }
}
