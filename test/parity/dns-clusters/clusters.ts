/** Clusters whose hosts are names, one for each way of refreshing them. */

/** After failures the next query comes soon, after successes by the TTL, never by the refresh rate. */
const byTtl = {
  dns_refresh_rate: '600s',
  respect_dns_ttl: true,
  dns_failure_refresh_rate: { base_interval: '0.05s', max_interval: '0.1s' },
};
const byRate = { dns_refresh_rate: '0.1s' };

const clusters: { readonly [name: string]: object } = {
  strict: { type: 'STRICT_DNS', ...byRate },
  logical: { type: 'LOGICAL_DNS', ...byRate },
  'logical-by-ttl': { type: 'LOGICAL_DNS', ...byTtl },
};

export const clusterNames = Object.keys(clusters);

export function buildDnsBootstrap(adminPort: number): object {
  const address = (name: string, port: number) => ({ socket_address: { address: name, port_value: port } });
  return {
    admin: { address: address('127.0.0.1', adminPort) },
    static_resources: {
      clusters: clusterNames.map(name => ({
        name,
        dns_lookup_family: 'V4_ONLY',
        ...clusters[name],
        load_assignment: {
          cluster_name: name,
          endpoints: [{ lb_endpoints: [{ endpoint: { address: address(`${name}.test`, 80) } }] }],
        },
      })),
    },
  };
}
