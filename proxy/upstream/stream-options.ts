/**
 * Stream options from what filters left in the filter state: the keys are Envoy's, the values plain. Streams without any, which
 * is most, share constant objects.
 */
import type { ConnectionInfo } from '../network/connection.ts';
import type { AnnouncedAddresses } from '../network/proxy-protocol.ts';
import type { Protocol, StreamInfo } from '../telemetry/stream-info.ts';
import type { Host, StreamOptions } from './cluster-manager.ts';

/** readonly string[]: the ALPN list to offer (istio.alpn). Keep one array per configuration: pools are keyed by it. */
export const applicationProtocolsKey = 'envoy.network.application_protocols';
/** string: the server name to ask for (auto_sni). */
export const upstreamServerNameKey = 'envoy.network.upstream_server_name';
/** OverrideHost: the host of a session (stateful_session). */
export const overrideHostKey = 'envoy.network.upstream_override_host';
/** readonly string[]: names of which the upstream's certificate must have one (auto_san_validation). */
export const upstreamSubjectAltNamesKey = 'envoy.network.upstream_subject_alt_names';

function makeOptions(priority: 0 | 1, downstreamProtocol: Protocol): StreamOptions {
  return {
    priority,
    downstreamProtocol,
    alpnOverride: null,
    serverNameOverride: null,
    subjectAltNameOverride: null,
    originalSource: null,
    shared: null,
    announced: null,
    streamInfo: null,
  };
}

const plain = new Map<string, readonly [StreamOptions, StreamOptions]>();

/** The options of an HTTP stream, to a host where that is known. */
export function readStreamOptions(info: StreamInfo, priority: 0 | 1, host?: Host): StreamOptions {
  const options = readFilterOptions(info, priority);
  return host?.announcesDownstream ? { ...options, announced: announceDownstream(info.downstream) } : options;
}

/** What the PROXY protocol says of a downstream connection. */
export function announceDownstream({ remoteAddress, localAddress }: ConnectionInfo): AnnouncedAddresses {
  return { source: remoteAddress, destination: localAddress };
}

function readFilterOptions(info: StreamInfo, priority: 0 | 1): StreamOptions {
  let pair = plain.get(info.protocol);
  if (pair === undefined) {
    pair = [makeOptions(0, info.protocol), makeOptions(1, info.protocol)];
    plain.set(info.protocol, pair);
  }
  const options = pair[priority];
  const { originalSource } = info.downstream;
  if (info.filterState === null && info.connectionFilterState === null && originalSource === null) return options;
  const alpnOverride = (info.getFilterState(applicationProtocolsKey) as readonly string[] | undefined) ?? null;
  const serverNameOverride = (info.getFilterState(upstreamServerNameKey) as string | undefined) ?? null;
  const subjectAltNameOverride = (info.getFilterState(upstreamSubjectAltNamesKey) as readonly string[] | undefined) ?? null;
  const shared = info.sharedObjects;
  const isPlain = alpnOverride === null && serverNameOverride === null && subjectAltNameOverride === null;
  if (isPlain && originalSource === null && shared === null) return options;
  return { ...options, alpnOverride, serverNameOverride, subjectAltNameOverride, originalSource, shared };
}
