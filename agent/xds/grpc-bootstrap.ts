/**
 * The bootstrap file for gRPC applications that speak xDS themselves, through the agent's relay.
 *
 * Source: istio.io/istio pkg/istio-agent/grpcxds.
 */
import type { Node } from '../config/node-metadata.ts';
import type { JsonObject } from '../config/proto-json.ts';

/** `certificateDirectory` is OUTPUT_CERTS; empty if certificates are not written. */
export function buildGrpcBootstrap(node: Node, socketPath: string, certificateDirectory: string): JsonObject {
  const files = {
    certificate_file: `${certificateDirectory}/cert-chain.pem`,
    private_key_file: `${certificateDirectory}/key.pem`,
    ca_certificate_file: `${certificateDirectory}/root-cert.pem`,
    refresh_interval: '900s',
  };
  const { region, zone, subZone } = node.locality;
  const locality = Object.entries({ region, zone, sub_zone: subZone }).filter(([, value]) => value !== undefined);
  return {
    xds_servers: [{ server_uri: `unix:///${socketPath}`, channel_creds: [{ type: 'insecure' }], server_features: ['xds_v3'] }],
    node: {
      id: node.id,
      // The generator of plain gRPC configuration; the proxy beside it keeps its own.
      metadata: { ...node.typed, GENERATOR: 'grpc' },
      locality: Object.fromEntries(locality) as JsonObject,
    },
    ...(certificateDirectory === ''
      ? {}
      : { certificate_providers: { default: { plugin_name: 'file_watcher', config: files } } }),
    server_listener_resource_name_template: 'xds.istio.io/grpc/lds/inbound/%s',
  };
}
