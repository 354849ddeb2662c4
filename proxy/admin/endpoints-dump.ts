/** The endpoints of `/config_dump?include_eds`: made from the live hosts, as Envoy does. */
import type { JsonObject } from '../../protos/json-writer.ts';
import { addressToJson } from './address-json.ts';
import type { AdminCluster, AdminContext, AdminHost } from './admin-context.ts';
import { localityToJson } from './clusters.ts';
import type { DumpEntry } from './config-dump-sections.ts';
import { readHealth } from '../upstream/host-health.ts';

const typeUrl = 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment';

/** One entry per cluster: dynamic ones of the discovery service, or the bootstrap's. */
export function* renderEndpointConfigs(context: AdminContext, isDynamic: boolean): Generator<DumpEntry> {
  for (const cluster of context.clusters.list()) {
    if (cluster.addedViaApi !== isDynamic) continue;
    const { discovery, name } = cluster.model;
    const clusterName = discovery.kind === 'eds' ? discovery.serviceName || name : name;
    yield { name: clusterName, toJson: () => ({ endpoint_config: loadAssignment(cluster, clusterName) }) };
  }
}

function loadAssignment(cluster: AdminCluster, clusterName: string): JsonObject {
  const groups = new Map<string, AdminHost[]>();
  for (const host of cluster.hosts) {
    const { region, zone, subZone } = host.locality;
    const key = [host.priority, region, zone, subZone].join('\n');
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [host]);
    else group.push(host);
  }
  const localities = [...groups.values()].sort((a, b) => a[0].priority - b[0].priority);
  return {
    '@type': typeUrl,
    cluster_name: clusterName,
    ...(localities.length > 0 && { endpoints: localities.map(localityEndpoints) }),
    policy: { overprovisioning_factor: cluster.model.loadBalancer.overprovisioningFactor },
  };
}

function localityEndpoints(hosts: readonly AdminHost[]): JsonObject {
  const [{ locality, localityWeight, priority }] = hosts;
  return {
    locality: localityToJson(locality),
    lb_endpoints: hosts.map(endpointToJson),
    load_balancing_weight: localityWeight,
    ...(priority !== 0 && { priority }),
  };
}

/** What balancing makes of a host: draining and timed out ones are unhealthy. */
function healthOf({ host, ejected }: AdminHost): string {
  return ejected ? 'UNHEALTHY' : readHealth(host).toUpperCase();
}

function endpointToJson(entry: AdminHost): JsonObject {
  const { host } = entry;
  const hasMetadata = Object.keys(host.metadata).length > 0;
  return {
    endpoint: {
      address: addressToJson(host.address),
      health_check_config: {},
      ...(host.hostname !== '' && { hostname: host.hostname }),
      ...(host.additionalAddresses.length > 0 && {
        additional_addresses: host.additionalAddresses.map(address => ({ address: addressToJson(address) })),
      }),
    },
    health_status: healthOf(entry),
    ...(hasMetadata && { metadata: { filter_metadata: host.metadata } }),
    load_balancing_weight: host.weight,
  };
}
