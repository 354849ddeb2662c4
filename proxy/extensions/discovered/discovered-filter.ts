/**
 * Stands in a chain for a filter whose configuration comes by ECDS, and follows it: connections and streams that begin later
 * get the new one. Nothing gets past it while there is none, unless the listener gives a default.
 *
 * Source: Envoy's DynamicFilterConfigProviderImpl and MissingConfigFilter.
 */
import type { DiscoveredFilterModel, FilterModel } from '../../config/model/listener.ts';
import { type FilterFactoryContext, HookStatus, type HttpFilter, type HttpFilterCallbacks } from '../../http/filter.ts';
import type { ExtensionConfigHolder, HttpFilterFactory } from '../../http/filter.ts';
import {
  FilterStatus,
  type NetworkFactoryContext,
  type NetworkFilter,
  type NetworkFilterBuilders,
  type NetworkFilterCallbacks,
  type NetworkFilterFactory,
} from '../../network/filter.ts';
import { ResponseFlag } from '../../telemetry/response-flags.ts';

type DiscoveredConfig = DiscoveredFilterModel['config'];

/** The factory of the current configuration, built when it is first needed. */
class CurrentFactory<F> {
  readonly #holder: ExtensionConfigHolder;
  readonly #config: DiscoveredConfig;
  readonly #build: (model: FilterModel) => F;
  readonly #missing: F;
  readonly #passing: F;
  #model: FilterModel | null | undefined;
  #factory: F | null = null;

  constructor(holder: ExtensionConfigHolder, config: DiscoveredConfig, build: (model: FilterModel) => F, missing: F, passing: F) {
    this.#holder = holder;
    this.#config = config;
    this.#build = build;
    this.#missing = missing;
    this.#passing = passing;
  }

  get(): F {
    const { fallback, hasFallback } = this.#config;
    const current = this.#holder.current;
    const model = current === undefined && hasFallback ? fallback : current;
    if (this.#factory === null || model !== this.#model) {
      this.#model = model;
      this.#factory = model === undefined ? this.#missing : model === null ? this.#passing : this.#build(model);
    }
    return this.#factory;
  }
}

function rejectStream(callbacks: HttpFilterCallbacks): HttpFilter {
  return {
    onRequestHeaders() {
      const flags = ResponseFlag.noFilterConfigFound;
      callbacks.sendLocalReply({ status: 500, body: '', details: '', flags, grpcStatus: null });
      return HookStatus.stop;
    },
  };
}

export function createDiscoveredHttpFilter(config: DiscoveredConfig, context: FilterFactoryContext): HttpFilterFactory {
  const { services } = context;
  const build = ({ kind, config: own }: FilterModel): HttpFilterFactory => services.httpFilters[kind](own as never, context);
  const holder = services.extensionConfigs.get(config.category, config.name);
  const factory = new CurrentFactory<HttpFilterFactory>(holder, config, build, rejectStream, () => null);
  return callbacks => factory.get()(callbacks);
}

function closeConnection({ connection }: NetworkFilterCallbacks): NetworkFilter {
  return {
    onNewConnection() {
      connection.close('no-flush');
      return FilterStatus.stop;
    },
  };
}

/** `builders` is a function because the list that it gives holds this builder. */
export function createDiscoveredNetworkFilter(builders: () => NetworkFilterBuilders) {
  return (config: DiscoveredConfig, context: NetworkFactoryContext): NetworkFilterFactory => {
    const build = ({ kind, config: own }: FilterModel): NetworkFilterFactory => builders()[kind](own as never, context);
    const holder = context.services.extensionConfigs.get(config.category, config.name);
    const factory = new CurrentFactory<NetworkFilterFactory>(holder, config, build, closeConnection, () => ({}));
    return callbacks => factory.get()(callbacks);
  };
}
