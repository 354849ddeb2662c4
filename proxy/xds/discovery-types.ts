/** The resource types that are discovered, and the one thing needed before decoding: a resource's name. */
import protobuf from 'protobufjs/minimal.js';
import { typeUrlPrefix } from '../../protos/messages.ts';

export type DiscoveryKind = 'cluster' | 'endpoints' | 'listener' | 'route' | 'secret' | 'extension';

/** Type URL by kind. */
export const discoveryTypeUrls: { readonly [K in DiscoveryKind]: string } = {
  cluster: `${typeUrlPrefix}envoy.config.cluster.v3.Cluster`,
  endpoints: `${typeUrlPrefix}envoy.config.endpoint.v3.ClusterLoadAssignment`,
  listener: `${typeUrlPrefix}envoy.config.listener.v3.Listener`,
  route: `${typeUrlPrefix}envoy.config.route.v3.RouteConfiguration`,
  extension: `${typeUrlPrefix}envoy.config.core.v3.TypedExtensionConfig`,
  secret: `${typeUrlPrefix}envoy.extensions.transport_sockets.tls.v3.Secret`,
};

/** The envelope that a state-of-the-world response may put around a resource. */
export const resourceTypeUrl = `${typeUrlPrefix}envoy.service.discovery.v3.Resource`;

/**
 * The name of an encoded resource: field 1, a string, in every discovered type. Empty if there is none.
 * @throws if the bytes are not a protobuf message.
 */
export function readResourceName(bytes: Uint8Array): string {
  const reader = protobuf.Reader.create(bytes);
  let name = '';
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === ((1 << 3) | 2)) name = reader.string();
    else reader.skipType(tag & 7);
  }
  return name;
}
