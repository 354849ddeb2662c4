/** One bootstrap with HTTP, TCP and mutual TLS listeners, and clusters that fail in every way that leaves a trace in statistics. */
import { CertificateAuthority, type IssuedCertificate } from '../../demo/certificate-authority.ts';
import { findFreePort } from '../support/proxy-process.ts';

const v3 = (name: string) => `type.googleapis.com/envoy.extensions.${name}`;

/** Ports of the listeners and of what stands behind the clusters. */
export interface StatsPorts {
  readonly http: number;
  readonly tcp: number;
  readonly tcpDown: number;
  readonly tls: number;
  readonly plainOrTls: number;
  /** HTTP upstream, see stats-traffic.ts for its paths. */
  readonly upstream: number;
  readonly echo: number;
  /** Nothing listens. */
  readonly closed: number;
}

export async function findStatsPorts(): Promise<StatsPorts> {
  const names = ['http', 'tcp', 'tcpDown', 'tls', 'plainOrTls', 'upstream', 'echo', 'closed'] as const;
  const ports: Record<string, number> = {};
  for (const name of names) ports[name] = await findFreePort();
  return ports as unknown as StatsPorts;
}

export interface StatsIdentities {
  readonly root: string;
  readonly server: IssuedCertificate;
  readonly client: IssuedCertificate;
  readonly stranger: IssuedCertificate;
}

export async function issueIdentities(): Promise<StatsIdentities> {
  const authority = await CertificateAuthority.create();
  const strangers = await CertificateAuthority.create({ name: 'strangers' });
  const uri = (value: string) => [{ type: 'url', value }] as never;
  return {
    root: authority.rootCertificate,
    server: await authority.issue(uri('spiffe://cluster.local/ns/x/sa/server')),
    client: await authority.issue(uri('spiffe://cluster.local/ns/x/sa/client')),
    stranger: await strangers.issue(uri('spiffe://cluster.local/ns/x/sa/client')),
  };
}

const inline = (text: string) => ({ inline_string: text });
const keyPair = ({ certificate, privateKey }: IssuedCertificate) => ({
  certificate_chain: inline(certificate),
  private_key: inline(privateKey),
});
const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });

interface RouteOptions {
  readonly route?: object;
  readonly cluster?: string;
  readonly extra?: object;
}

function route(prefix: string, { route: action = {}, cluster = 'ok', extra = {} }: RouteOptions = {}): object {
  return { match: { prefix }, route: { cluster, timeout: '5s', ...action }, ...extra };
}

const retry = {
  retry_policy: { retry_on: '5xx,connect-failure,reset', num_retries: 2, retry_back_off: { base_interval: '0.001s' } },
};
const routes = [
  route('/ok'),
  route('/status'),
  route('/down', { cluster: 'down' }),
  route('/retry-down', { cluster: 'down', route: retry }),
  route('/retry-status', { route: retry }),
  route('/retry-later', { route: retry }),
  route('/hang', { route: { timeout: '0.3s' } }),
  route('/try-hang', { route: { timeout: '0.9s', retry_policy: { retry_on: '5xx', num_retries: 1, per_try_timeout: '0.2s' } } }),
  route('/reset'),
  route('/overflow', { cluster: 'overflow' }),
  route('/retry-overflow', { cluster: 'no-retries', route: retry }),
  route('/empty', { cluster: 'empty' }),
  route('/unknown', { cluster: 'unknown' }),
  route('/mtls', { cluster: 'mtls' }),
  route('/no-certificate', { cluster: 'no-certificate' }),
  route('/wrong-san', { cluster: 'wrong-san' }),
  route('/stranger', { cluster: 'stranger' }),
  route('/plain-to-tls', { cluster: 'plain-to-tls' }),
  route('/mirror', { route: { request_mirror_policies: [{ cluster: 'mirrored' }] } }),
  route('/named', { extra: { stat_prefix: 'named' } }),
  route('/websocket', { route: { upgrade_configs: [{ upgrade_type: 'websocket' }] } }),
  { match: { prefix: '/redirect' }, redirect: { path_redirect: '/ok' } },
  { match: { prefix: '/direct' }, direct_response: { status: 418 } },
];

function manager(statPrefix: string, own: readonly object[], extra: object = {}): object {
  return {
    name: 'envoy.filters.network.http_connection_manager',
    typed_config: {
      '@type': v3('filters.network.http_connection_manager.v3.HttpConnectionManager'),
      stat_prefix: statPrefix,
      http_filters: [{ name: 'envoy.filters.http.router', typed_config: { '@type': v3('filters.http.router.v3.Router') } }],
      route_config: {
        name: `${statPrefix}-routes`,
        validate_clusters: false,
        virtual_hosts: [{ name: 'all', domains: ['*'], routes: own }],
      },
      ...extra,
    },
  };
}

const tcpProxy = (statPrefix: string, cluster: string) => ({
  name: 'envoy.filters.network.tcp_proxy',
  typed_config: { '@type': v3('filters.network.tcp_proxy.v3.TcpProxy'), stat_prefix: statPrefix, cluster },
});

function downstreamTls({ root, server }: StatsIdentities): object {
  const common = {
    tls_certificates: [keyPair(server)],
    validation_context: { trusted_ca: inline(root) },
    alpn_protocols: ['http/1.1'],
  };
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': v3('transport_sockets.tls.v3.DownstreamTlsContext'),
      common_tls_context: common,
      require_client_certificate: true,
    },
  };
}

function upstreamTls(root: string, certificate: IssuedCertificate | null, san: string): object {
  const matcher = { san_type: 'URI', matcher: { exact: san } };
  const common = {
    tls_certificates: certificate === null ? [] : [keyPair(certificate)],
    validation_context: { trusted_ca: inline(root), match_typed_subject_alt_names: [matcher] },
    alpn_protocols: ['http/1.1'],
  };
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: { '@type': v3('transport_sockets.tls.v3.UpstreamTlsContext'), common_tls_context: common, sni: 'server.x' },
  };
}

function buildListeners(ports: StatsPorts, identities: StatsIdentities): object[] {
  const tls = downstreamTls(identities);
  const inspector = (kind: string, type: string) => ({
    name: `envoy.filters.listener.${kind}`,
    typed_config: { '@type': v3(`filters.listener.${kind}.v3.${type}`) },
  });
  const upgrades = { upgrade_configs: [{ upgrade_type: 'websocket' }] };
  const inspectors = [inspector('tls_inspector', 'TlsInspector'), inspector('http_inspector', 'HttpInspector')];
  return [
    { name: 'http', address: address(ports.http), filter_chains: [{ filters: [manager('web', routes, upgrades)] }] },
    { name: 'tcp', address: address(ports.tcp), filter_chains: [{ filters: [tcpProxy('raw', 'echo')] }] },
    {
      name: 'tcp-down',
      stat_prefix: 'renamed',
      address: address(ports.tcpDown),
      filter_chains: [{ filters: [tcpProxy('raw-down', 'down')] }],
    },
    {
      name: 'tls',
      address: address(ports.tls),
      filter_chains: [{ transport_socket: tls, filters: [manager('secure', [route('/')])] }],
    },
    {
      name: 'plain-or-tls',
      address: address(ports.plainOrTls),
      listener_filters: inspectors,
      filter_chains: [
        { filter_chain_match: { transport_protocol: 'tls' }, transport_socket: tls, filters: [manager('mixed', [route('/')])] },
        {
          filter_chain_match: { transport_protocol: 'raw_buffer', application_protocols: ['http/1.1'] },
          filters: [manager('mixed', [route('/')])],
        },
      ],
    },
  ];
}

function cluster(name: string, port: number | null, extra: object = {}): object {
  const lbEndpoints = port === null ? [] : [{ endpoint: { address: address(port) } }];
  return {
    name,
    type: 'STATIC',
    connect_timeout: '1s',
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: lbEndpoints }] },
    ...extra,
  };
}

function buildClusters(ports: StatsPorts, { root, client, stranger }: StatsIdentities): object[] {
  const serverName = 'spiffe://cluster.local/ns/x/sa/server';
  const limits = (thresholds: object) => ({ circuit_breakers: { thresholds: [thresholds] } });
  const secured = (certificate: IssuedCertificate | null, san = serverName) => ({
    transport_socket: upstreamTls(root, certificate, san),
  });
  return [
    cluster('ok', ports.upstream, { alt_stat_name: 'fine' }),
    cluster('mirrored', ports.upstream),
    cluster('echo', ports.echo),
    cluster('down', ports.closed, limits({ track_remaining: true })),
    cluster('overflow', ports.upstream, limits({ max_requests: 0 })),
    cluster('no-retries', ports.closed, limits({ max_retries: 0 })),
    cluster('empty', null),
    cluster('mtls', ports.tls, secured(client)),
    cluster('no-certificate', ports.tls, secured(null)),
    cluster('wrong-san', ports.tls, secured(client, 'spiffe://cluster.local/ns/x/sa/other')),
    cluster('stranger', ports.tls, secured(stranger)),
    cluster('plain-to-tls', ports.tls),
  ];
}

/** Every statistic is kept. */
export function buildStatsBootstrap(ports: StatsPorts, identities: StatsIdentities, deferred: boolean): object {
  return {
    node: { id: 'parity', cluster: 'parity' },
    stats_flush_interval: '0.2s',
    deferred_stat_options: { enable_deferred_creation_stats: deferred },
    static_resources: { listeners: buildListeners(ports, identities), clusters: buildClusters(ports, identities) },
  };
}
