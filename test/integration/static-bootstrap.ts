/** Pieces of static bootstraps for tests of whole processes. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

export interface TestCertificates {
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

const typeUrl = (name: string): string => `type.googleapis.com/envoy.extensions.${name}`;

/** One CA and one certificate for both sides, as PEM files. */
export function makeCertificates(folder: string): TestCertificates {
  const file = (name: string): string => join(folder, name);
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' });
  openssl('req', '-x509', ...key, '-keyout', file('ca.key'), '-out', file('ca.pem'), '-subj', '/CN=test ca');
  const issue = ['-x509', '-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-addext', 'basicConstraints=CA:FALSE'];
  const names = ['-subj', '/CN=test', '-addext', 'subjectAltName=URI:spiffe://cluster.local/ns/test/sa/test'];
  openssl('req', ...issue, ...key, '-keyout', file('key.pem'), '-out', file('certificate.pem'), ...names);
  return { ca: file('ca.pem'), certificate: file('certificate.pem'), key: file('key.pem') };
}

function commonTls({ ca, certificate, key }: TestCertificates): object {
  return {
    tls_certificates: [{ certificate_chain: { filename: certificate }, private_key: { filename: key } }],
    validation_context: { trusted_ca: { filename: ca } },
  };
}

export interface ListenerOptions {
  readonly port: number;
  readonly filter: object;
  /** Mutual TLS. */
  readonly tls?: TestCertificates;
  readonly extra?: object;
}

export function staticListener({ port, filter, tls, extra }: ListenerOptions): object {
  const context = tls && {
    '@type': typeUrl('transport_sockets.tls.v3.DownstreamTlsContext'),
    common_tls_context: commonTls(tls),
    require_client_certificate: true,
  };
  return {
    name: `listener-${port}`,
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: [
      { filters: [filter], ...(context && { transport_socket: { name: 'envoy.transport_sockets.tls', typed_config: context } }) },
    ],
    ...extra,
  };
}

/** A connection manager that sends everything to one cluster; `extra` are more fields of its message. */
export function httpFilter(cluster: string, extra: object = {}): object {
  const route = { cluster, timeout: '0s' };
  return {
    name: 'envoy.filters.network.http_connection_manager',
    typed_config: {
      '@type': typeUrl('filters.network.http_connection_manager.v3.HttpConnectionManager'),
      stat_prefix: cluster,
      upgrade_configs: [{ upgrade_type: 'websocket' }],
      http_filters: [{ name: 'envoy.filters.http.router', typed_config: { '@type': typeUrl('filters.http.router.v3.Router') } }],
      route_config: {
        name: 'local',
        virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route }] }],
      },
      ...extra,
    },
  };
}

export function tcpFilter(cluster: string): object {
  const config = { '@type': typeUrl('filters.network.tcp_proxy.v3.TcpProxy'), stat_prefix: cluster, cluster };
  return { name: 'envoy.filters.network.tcp_proxy', typed_config: config };
}

export function staticCluster(name: string, port: number, tls?: TestCertificates): object {
  const context = tls && {
    '@type': typeUrl('transport_sockets.tls.v3.UpstreamTlsContext'),
    common_tls_context: commonTls(tls),
    sni: 'test',
  };
  const address = { socket_address: { address: '127.0.0.1', port_value: port } };
  return {
    name,
    type: 'STATIC',
    connect_timeout: '5s',
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] },
    ...(context && { transport_socket: { name: 'envoy.transport_sockets.tls', typed_config: context } }),
  };
}
