/** Run time of `envoy.filters.http.stateful_session`. */
import {
  type FilterFactoryContext,
  HookStatus,
  type HttpFilter,
  type HttpFilterCallbacks,
  type HttpFilterFactory,
} from '../../../../http/filter.ts';
import type { HeaderMap } from '../../../../http/header-map.ts';
import { overrideHostKey } from '../../../../upstream/stream-options.ts';
import type { StatefulSessionModel } from './config.ts';
import { createSessionState, type SessionState } from './session-state.ts';

/** One session state per configuration, of the filter and of routes. */
const states = new WeakMap<StatefulSessionModel, SessionState>();

function findState(model: StatefulSessionModel): SessionState | null {
  if (model.state === null) return null;
  let state = states.get(model);
  if (state === undefined) {
    state = createSessionState(model.state);
    states.set(model, state);
  }
  return state;
}

class StatefulSessionFilter implements HttpFilter {
  readonly #model: StatefulSessionModel;
  readonly #callbacks: HttpFilterCallbacks;
  #state: SessionState | null = null;
  #askedHost: string | null = null;

  constructor(model: StatefulSessionModel, callbacks: HttpFilterCallbacks) {
    this.#model = model;
    this.#callbacks = callbacks;
  }

  onRequestHeaders(headers: HeaderMap): HookStatus {
    const model = (this.#callbacks.perRouteConfig() as StatefulSessionModel | null) ?? this.#model;
    const state = findState(model);
    const address = state?.readHost(headers);
    if (state === null || address === undefined) return HookStatus.continue;
    this.#state = state;
    this.#askedHost = address;
    if (address !== null) this.#callbacks.streamInfo.setFilterState(overrideHostKey, { address, strict: model.strict });
    return HookStatus.continue;
  }

  onResponseHeaders(headers: HeaderMap): HookStatus {
    const address = this.#callbacks.streamInfo.upstreamHost?.addressText;
    if (this.#state !== null && address !== undefined && address !== this.#askedHost) this.#state.writeHost(headers, address);
    return HookStatus.continue;
  }
}

export function createStatefulSessionFilter(config: StatefulSessionModel, _context: FilterFactoryContext): HttpFilterFactory {
  return callbacks => new StatefulSessionFilter(config, callbacks);
}
