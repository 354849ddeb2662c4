/** `envoy.config.endpoint.v3.ClusterLoadAssignment`: from EDS, or inline in a cluster. */
import type { protos } from '../../../protos/messages.ts';
import type { HostModel, LoadAssignmentModel, LocalityModel } from '../model/cluster.ts';
import { compileAddress } from './address.ts';
import { ConfigError } from './config-error.ts';
import { joinPath } from './field-table.ts';
import { compileMetadata } from './metadata.ts';
import { requireRange, requireText, unwrap } from './scalars.ts';
import { type CompileContext, CompileScope } from './scope.ts';
import { decodeChecked } from './typed-config.ts';

type ClusterLoadAssignment = protos.envoy.config.endpoint.v3.ClusterLoadAssignment;

/** By number. */
export const healthStates = ['unknown', 'healthy', 'unhealthy', 'draining', 'timeout', 'degraded'] as const;
const defaultOverprovisioningFactor = 140;
const maxPriority = 128;

/** @throws ConfigError */
export function compileLoadAssignment(bytes: Uint8Array, context: CompileContext): LoadAssignmentModel {
  const scope = new CompileScope(context, 'endpoints');
  const message = decodeChecked('envoy.config.endpoint.v3.ClusterLoadAssignment', bytes, '', scope);
  return compileAssignmentMessage(message as ClusterLoadAssignment, '', 'ip');
}

/** @param accepts `host` where names are resolved by DNS. */
export function compileAssignmentMessage(
  message: ClusterLoadAssignment,
  path: string,
  accepts: 'ip' | 'host',
): LoadAssignmentModel {
  const factor = unwrap(message.policy?.overprovisioning_factor ?? null, defaultOverprovisioningFactor);
  if (factor < 1) throw new ConfigError(joinPath(path, 'policy.overprovisioning_factor'), 'value must be greater than 0');
  return {
    clusterName: requireText(message.cluster_name, joinPath(path, 'cluster_name')),
    localities: message.endpoints.map((locality, i) => compileLocality(locality, joinPath(path, `endpoints[${i}]`), accepts)),
    overprovisioningFactor: factor,
  };
}

function compileLocality(
  message: protos.envoy.config.endpoint.v3.LocalityLbEndpoints,
  path: string,
  accepts: 'ip' | 'host',
): LocalityModel {
  const hosts = message.lb_endpoints.map((endpoint, i) => compileHost(endpoint, `${path}.lb_endpoints[${i}]`, accepts));
  if (hosts.reduce((sum, host) => sum + host.weight, 0) > 0xffff_ffff) {
    throw new ConfigError(path, 'The sum of weights of all endpoints in the same locality exceeds 4294967295');
  }
  const weight = unwrap(message.load_balancing_weight, 0);
  if (message.load_balancing_weight !== null && weight < 1) {
    throw new ConfigError(`${path}.load_balancing_weight`, 'value must be greater than or equal to 1');
  }
  return {
    region: message.locality?.region ?? '',
    zone: message.locality?.zone ?? '',
    subZone: message.locality?.sub_zone ?? '',
    priority: requireRange(message.priority, 0, maxPriority, `${path}.priority`),
    weight,
    hosts,
  };
}

function compileHost(message: protos.envoy.config.endpoint.v3.LbEndpoint, path: string, accepts: 'ip' | 'host'): HostModel {
  const endpoint = message.endpoint;
  if (endpoint === null) throw new ConfigError(`${path}.endpoint`, 'value is required');
  const weight = unwrap(message.load_balancing_weight, 1);
  if (weight < 1) throw new ConfigError(`${path}.load_balancing_weight`, 'value must be greater than or equal to 1');
  return {
    address: compileAddress(endpoint.address, `${path}.endpoint.address`, accepts),
    additionalAddresses: endpoint.additional_addresses.map(({ address }, i) =>
      compileAddress(address, `${path}.endpoint.additional_addresses[${i}].address`, accepts),
    ),
    hostname: endpoint.hostname,
    weight,
    health: healthStates[message.health_status],
    metadata: compileMetadata(message.metadata),
    ...compileHealthCheck(endpoint.health_check_config, `${path}.endpoint.health_check_config`, accepts),
  };
}

function compileHealthCheck(
  message: protos.envoy.config.endpoint.v3.Endpoint.HealthCheckConfig | null,
  path: string,
  accepts: 'ip' | 'host',
): Pick<HostModel, 'healthCheck'> {
  if (message === null) return {};
  const port = requireRange(message.port_value, 0, 65_535, `${path}.port_value`);
  const address = message.address === null ? null : compileAddress(message.address, `${path}.address`, accepts);
  return { healthCheck: { port, address, hostname: message.hostname, isDisabled: message.disable_active_health_check } };
}
