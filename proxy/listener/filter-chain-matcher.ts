/**
 * Finds the filter chain of a connection, in the order of precedence of Envoy's FilterChainMatch: destination port,
 * destination address, server name, transport protocol, application protocols, direct source, source type, source address,
 * source port. A level that has an entry for the connection decides; a failure below it does not come back.
 */
import type { FilterChainMatch } from '../config/model/listener.ts';
import type { ConnectionInfo } from '../network/connection.ts';
import { PrefixTable } from './prefix-table.ts';

type SourceType = FilterChainMatch['sourceType'];
type SourcePorts<T> = Map<number, T>;
type Sources<T> = PrefixTable<SourcePorts<T>>;
type SourceTypes<T> = Map<SourceType, Sources<T>>;
type DirectSources<T> = PrefixTable<SourceTypes<T>>;
type ApplicationProtocols<T> = Map<string, DirectSources<T>>;
type TransportProtocols<T> = Map<string, ApplicationProtocols<T>>;
type ServerNames<T> = Map<string, TransportProtocols<T>>;
type Destinations<T> = PrefixTable<ServerNames<T>>;

/** Stands for "any port". */
const anyPort = 0;

export class FilterChainMatcher<T> {
  readonly #ports = new Map<number, Destinations<T>>();
  readonly #fallback: T | null;

  /** `fallback` serves what no chain matches. The first of two chains with equal matches wins. */
  constructor(chains: readonly { readonly match: FilterChainMatch; readonly value: T }[], fallback: T | null) {
    this.#fallback = fallback;
    for (const { match, value } of chains) this.#add(match, value);
  }

  #add(match: FilterChainMatch, value: T): void {
    const port = match.destinationPort ?? anyPort;
    const destinations = ensure(this.#ports, port, () => new PrefixTable<ServerNames<T>>());
    for (const range of orNone(match.prefixRanges, null)) {
      const names = destinations.ensure(range, () => new Map());
      for (const name of orNone(match.serverNames, '')) {
        // `*.x` is kept as `.x`.
        const key = name.startsWith('*.') ? name.slice(1) : name;
        const transports = ensure(names, key, () => new Map() as TransportProtocols<T>);
        const protocols = ensure(transports, match.transportProtocol, () => new Map() as ApplicationProtocols<T>);
        for (const protocol of orNone(match.applicationProtocols, '')) {
          addSources(
            ensure(protocols, protocol, () => new PrefixTable<SourceTypes<T>>()),
            match,
            value,
          );
        }
      }
    }
  }

  /** Null if nothing matches and there is no default chain. */
  find(info: ConnectionInfo): T | null {
    const local = info.localAddress;
    const port = local.kind === 'socket' ? local.port : anyPort;
    const ip = local.kind === 'socket' ? local.address : null;
    const destinations = (port === anyPort ? undefined : this.#ports.get(port)) ?? this.#ports.get(anyPort);
    const names = destinations?.find(ip);
    const found = names === undefined ? null : findByServerName(names, info);
    return found ?? this.#fallback;
  }
}

function addSources<T>(direct: DirectSources<T>, match: FilterChainMatch, value: T): void {
  for (const directRange of orNone(match.directSourcePrefixRanges, null)) {
    const types = direct.ensure(directRange, () => new Map());
    const sources = ensure(types, match.sourceType, () => new PrefixTable<SourcePorts<T>>());
    for (const range of orNone(match.sourcePrefixRanges, null)) {
      const ports = sources.ensure(range, () => new Map());
      for (const port of orNone(match.sourcePorts, anyPort)) {
        if (!ports.has(port)) ports.set(port, value);
      }
    }
  }
}

function findByServerName<T>(names: ServerNames<T>, info: ConnectionInfo): T | null {
  const name = info.requestedServerName;
  let transports = names.get(name);
  for (
    let dot = name.indexOf('.', 1);
    transports === undefined && dot > 0 && dot < name.length - 1;
    dot = name.indexOf('.', dot + 1)
  ) {
    transports = names.get(name.slice(dot));
  }
  transports ??= names.get('');
  const protocols = transports?.get(info.transportProtocol) ?? transports?.get('');
  if (protocols === undefined) return null;
  for (const protocol of info.requestedApplicationProtocols) {
    const direct = protocols.get(protocol);
    if (direct !== undefined) return findBySource(direct, info);
  }
  const direct = protocols.get('');
  return direct === undefined ? null : findBySource(direct, info);
}

function findBySource<T>(direct: DirectSources<T>, info: ConnectionInfo): T | null {
  const directRemote = info.directRemoteAddress;
  const types = direct.find(directRemote.kind === 'socket' ? directRemote.address : null);
  if (types === undefined) return null;
  let sources: Sources<T> | undefined;
  if (types.has('same-ip-or-loopback') || types.has('external')) {
    sources = types.get(isSameIpOrLoopback(info) ? 'same-ip-or-loopback' : 'external');
  }
  sources ??= types.get('any');
  const remote = info.remoteAddress;
  const ports = sources?.find(remote.kind === 'socket' ? remote.address : null);
  return ports?.get(remote.kind === 'socket' ? remote.port : anyPort) ?? ports?.get(anyPort) ?? null;
}

/** As in Envoy, the one address of each family counts as loopback, not all of 127.0.0.0/8. */
function isSameIpOrLoopback(info: ConnectionInfo): boolean {
  const { remoteAddress, localAddress } = info;
  if (remoteAddress.kind !== 'socket' || localAddress.kind !== 'socket') return true;
  const ip = remoteAddress.address;
  return ip === localAddress.address || ip === '::1' || ip === '127.0.0.1';
}

/** A list, or the one entry that does not constrain. */
function orNone<V, N>(values: readonly V[], none: N): readonly (V | N)[] {
  return values.length === 0 ? [none] : values;
}

function ensure<K, V>(map: Map<K, V>, key: K, create: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = create();
    map.set(key, value);
  }
  return value;
}
