/** TLS of the static clusters that leave the pod (tracers, metrics and access log services). */
import type { Node } from '../node-metadata.ts';
import type { Json, JsonObject } from '../proto-json.ts';
import type { TlsSettings } from '../proxy-config.ts';

/** A reference to a secret that the agent serves over SDS. */
export function sdsSecret(name: string): JsonObject {
  return {
    name,
    sds_config: {
      api_config_source: {
        api_type: 'GRPC',
        grpc_services: [{ envoy_grpc: { cluster_name: 'sds-grpc' } }],
        set_node_on_first_message_only: true,
        transport_api_version: 'V3',
      },
      resource_api_version: 'V3',
    },
  };
}

/** The mesh's own secrets may come late: they never time out, as in istiod's resources. */
function meshSecret(name: string): JsonObject {
  const secret = sdsSecret(name);
  return { ...secret, sds_config: { ...(secret.sds_config as JsonObject), initial_fetch_timeout: '0s' } };
}

/** The transport socket of a collector's cluster; null without TLS. */
export function buildUpstreamTls(settings: TlsSettings, defaultSni: string, node: Node, http2: boolean): JsonObject | null {
  const mode = settings.mode ?? 'DISABLE';
  if (mode === 'DISABLE') return null;
  const inMesh = mode === 'ISTIO_MUTUAL';
  const certificate = fileOf(node, 'TLS_CLIENT_CERT_CHAIN', settings.clientCertificate);
  const key = fileOf(node, 'TLS_CLIENT_KEY', settings.privateKey);
  const root = fileOf(node, 'TLS_CLIENT_ROOT_CERT', settings.caCertificates);
  const keyPair = inMesh
    ? 'default'
    : mode === 'MUTUAL' && certificate !== '' && key !== ''
      ? `file-cert:${certificate}~${key}`
      : '';
  const sni = settings.sni ?? (inMesh ? defaultSni : undefined);
  const names = (settings.subjectAltNames ?? []).map(name => ({ exact: name }));
  const common: Record<string, Json> = {
    combined_validation_context: {
      default_validation_context: names.length === 0 ? {} : { match_subject_alt_names: names },
      validation_context_sds_secret_config: inMesh ? meshSecret('ROOTCA') : sdsSecret(root === '' ? '' : `file-root:${root}`),
    },
  };
  if (keyPair !== '') common.tls_certificate_sds_secret_configs = [inMesh ? meshSecret(keyPair) : sdsSecret(keyPair)];
  if (http2) common.alpn_protocols = inMesh ? ['istio', 'h2'] : ['h2'];
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
      common_tls_context: common,
      ...(sni === undefined ? {} : { sni }),
    },
  };
}

function fileOf(node: Node, key: string, fallback: string | undefined): string {
  return (node.typed[key] as string | undefined) ?? fallback ?? '';
}
