/** Which transport socket a host gets: the first match whose criteria are all in the endpoint's metadata, else the default. */
import type { ClusterModel, TransportSocketMatch } from '../config/model/cluster.ts';
import type { Metadata } from '../config/model/matchers.ts';
import type { RawBufferModel, UpstreamTlsModel } from '../config/model/tls.ts';

const namespace = 'envoy.transport_socket_match';

function isEqual(a: unknown, b: unknown): boolean {
  return a === b || (typeof a === 'object' && typeof b === 'object' && JSON.stringify(a) === JSON.stringify(b));
}

/** True if every key of `criteria` has the same value in the endpoint's metadata. */
export function matchesCriteria(criteria: { readonly [key: string]: unknown }, metadata: Metadata, key: string): boolean {
  const values = metadata[key] ?? {};
  for (const name of Object.keys(criteria)) if (!isEqual(criteria[name], values[name])) return false;
  return true;
}

/** Null if the default socket is the host's. */
export function findTransportSocketMatch(cluster: ClusterModel, metadata: Metadata): TransportSocketMatch | null {
  return cluster.transportSocketMatches.find(({ match }) => matchesCriteria(match, metadata, namespace)) ?? null;
}

/** By criteria in place of an endpoint's metadata. */
export function findTransportSocketByCriteria(
  cluster: ClusterModel,
  criteria: { readonly [key: string]: unknown },
): UpstreamTlsModel | RawBufferModel {
  return selectTransportSocket(cluster, { [namespace]: criteria });
}

export function selectTransportSocket(cluster: ClusterModel, metadata: Metadata): UpstreamTlsModel | RawBufferModel {
  return (findTransportSocketMatch(cluster, metadata) ?? cluster).transportSocket;
}
