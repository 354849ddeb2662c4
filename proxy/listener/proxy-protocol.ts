/** `envoy.filters.listener.proxy_protocol`: the client's address is what the peer says it is. */
import type { ProxyProtocolVersion } from '../network/proxy-protocol.ts';
import { parseProxyHeader } from '../network/proxy-protocol-parser.ts';
import type { Counter, StatsStore } from '../telemetry/stats-store.ts';
import { type ListenerFilter, type ListenerFilterFactory, ListenerFilterStatus, type ListenerSocket } from './listener-filter.ts';

export interface ProxyProtocolFilterModel {
  /** Connections without a header are served as they are. */
  readonly allowsAbsence: boolean;
  readonly disallowedVersions: readonly ProxyProtocolVersion[];
  /** Part of the statistics' names; empty: none. */
  readonly statPrefix: string;
}

/** Fewer bytes of something else are waited with, where a header is required. */
const decidingBytes = 6;

class ProxyProtocolStats {
  readonly error: Counter;
  readonly notFoundAllowed: Counter;
  readonly notFoundDisallowed: Counter;
  readonly versions: { readonly [V in ProxyProtocolVersion]: { found: Counter; disallowed: Counter; error: Counter } };

  constructor(stats: StatsStore, statPrefix: string) {
    const prefix = statPrefix === '' ? 'proxy_proto.' : `proxy_proto.${statPrefix}.`;
    const ofVersion = (version: ProxyProtocolVersion) => ({
      found: stats.counter(`${prefix}versions.${version}.found`),
      disallowed: stats.counter(`${prefix}versions.${version}.disallowed`),
      error: stats.counter(`${prefix}versions.${version}.error`),
    });
    this.error = stats.counter('downstream_cx_proxy_proto_error');
    this.notFoundAllowed = stats.counter(`${prefix}not_found_allowed`);
    this.notFoundDisallowed = stats.counter(`${prefix}not_found_disallowed`);
    this.versions = { v1: ofVersion('v1'), v2: ofVersion('v2') };
  }
}

class ProxyProtocolFilter implements ListenerFilter {
  readonly #model: ProxyProtocolFilterModel;
  readonly #stats: ProxyProtocolStats;
  #socket: ListenerSocket | null = null;

  constructor(model: ProxyProtocolFilterModel, stats: ProxyProtocolStats) {
    this.#model = model;
    this.#stats = stats;
  }

  onAccept(socket: ListenerSocket): ListenerFilterStatus {
    this.#socket = socket;
    return ListenerFilterStatus.needData;
  }

  onData(bytes: Buffer): ListenerFilterStatus {
    const header = parseProxyHeader(bytes);
    if (header.kind === 'incomplete') return ListenerFilterStatus.needData;
    if (header.kind === 'absent') return this.#onAbsent(bytes.length);
    const stats = this.#stats.versions[header.version];
    if (this.#model.disallowedVersions.includes(header.version)) {
      stats.found.inc();
      stats.disallowed.inc();
      return ListenerFilterStatus.refuse;
    }
    if (header.kind === 'malformed') return this.#refuse(stats.error);
    stats.found.inc();
    const socket = this.#socket as ListenerSocket;
    socket.consume(header.length);
    if (header.addresses !== null) {
      const { source, destination } = header.addresses;
      socket.info.remoteAddress = source;
      socket.info.restoreLocalAddress(destination);
    }
    return ListenerFilterStatus.continue;
  }

  #onAbsent(length: number): ListenerFilterStatus {
    if (this.#model.allowsAbsence) {
      this.#stats.notFoundAllowed.inc();
      return ListenerFilterStatus.continue;
    }
    return length < decidingBytes ? ListenerFilterStatus.needData : this.#refuse(this.#stats.notFoundDisallowed);
  }

  #refuse(counter: Counter): ListenerFilterStatus {
    counter.inc();
    this.#stats.error.inc();
    return ListenerFilterStatus.refuse;
  }
}

export function createProxyProtocolFactory(model: ProxyProtocolFilterModel, stats: StatsStore): ListenerFilterFactory {
  const filterStats = new ProxyProtocolStats(stats, model.statPrefix);
  return () => new ProxyProtocolFilter(model, filterStats);
}
