/** `envoy.config.listener.v3.Listener`. */
import type { RequiredCluster } from './route-clusters.ts';
import { createHash } from 'node:crypto';
import type { protos } from '../../../protos/messages.ts';
import type { ConfigSourceModel } from '../model/bootstrap.ts';
import { type Address, formatAddress } from '../model/address.ts';
import type { FilterChainModel, ListenerFilterModel, ListenerFilterPredicate, ListenerModel } from '../model/listener.ts';
import type { SecretModel } from '../model/tls.ts';
import { compileAccessLogs } from './access-log.ts';
import { compileSystemAddress } from './address.ts';
import { ConfigError } from './config-error.ts';
import { compileFilterChainMatch, requireDistinctMatches } from './filter-chain-match.ts';
import { compileNetworkFilters } from './filter-list.ts';
import { compileMetadata } from './metadata.ts';
import { durationMs, requireText, unwrap } from './scalars.ts';
import {
  type CompileContext,
  type CompileFindings,
  CompileScope,
  type ExtensionReference,
  type SecretReference,
} from './scope.ts';
import { compileSocketOptions, makeFastOpenOption } from './socket-options.ts';
import { compileDownstreamSocket } from './tls.ts';
import { compileTypedConfig, decodeChecked, unknownExtension } from './typed-config.ts';

type Listener = protos.envoy.config.listener.v3.Listener;
type Predicate = protos.envoy.config.listener.v3.ListenerFilterChainMatchPredicate;

const directions = ['unspecified', 'inbound', 'outbound'] as const;
const defaultFiltersTimeoutMs = 15_000;
const defaultBufferLimitBytes = 1024 * 1024;
/** More than any kernel's `net.core.somaxconn`, which then is the limit. */
const defaultBacklog = 65_535;

export interface CompiledListener extends CompileFindings {
  readonly model: ListenerModel;
  /** RDS names that must be known before the listener is ready. */
  readonly routeNames: readonly string[];
  readonly routeSources: { readonly [name: string]: ConfigSourceModel };
  readonly extensions: readonly ExtensionReference[];
  readonly secrets: readonly SecretReference[];
  /** Certificates given in the listener itself, under the keys that its model uses. */
  readonly inlineSecrets: readonly SecretModel[];
  readonly requiredClusters: readonly RequiredCluster[];
}

/** @throws ConfigError */
export function compileListener(bytes: Uint8Array, context: CompileContext): CompiledListener {
  const scope = new CompileScope(context, 'listener');
  const message = decodeChecked('envoy.config.listener.v3.Listener', bytes, '', scope) as Listener;
  scope.trafficDirection = directions[message.traffic_direction];
  const model = compileMessage(message, createHash('sha256').update(bytes).digest('hex'), scope);
  return {
    model,
    routeNames: [...scope.routeSources.keys()],
    routeSources: Object.fromEntries(scope.routeSources),
    extensions: scope.extensions,
    secrets: [...scope.secrets.values()],
    inlineSecrets: [...scope.inlineSecrets.values()],
    requiredClusters: scope.requiredClusters,
    ...scope.findings(),
  };
}

function compileMessage(message: Listener, hash: string, scope: CompileScope): ListenerModel {
  const isInternal = message.internal_listener !== null;
  const addresses = isInternal ? compileInternalAddress(message) : compileAddresses(message);
  const name = message.name || formatAddress(addresses[0]);
  return {
    name,
    hash,
    addresses,
    bindToPort: !isInternal && unwrap(message.bind_to_port ?? message.deprecated_v1?.bind_to_port ?? null, true),
    useOriginalDst: unwrap(message.use_original_dst, false),
    transparent: unwrap(message.transparent, false),
    freebind: unwrap(message.freebind, false),
    ...compileListenerOptions(message),
    trafficDirection: directions[message.traffic_direction],
    statPrefix: message.stat_prefix,
    listenerFilters: message.listener_filters.map((filter, i) => compileListenerFilter(filter, `listener_filters[${i}]`, scope)),
    listenerFiltersTimeoutMs: durationMs(message.listener_filters_timeout, defaultFiltersTimeoutMs, 'listener_filters_timeout'),
    continueOnListenerFiltersTimeout: message.continue_on_listener_filters_timeout,
    ...compileChains(message, name, scope),
    perConnectionBufferLimitBytes: unwrap(message.per_connection_buffer_limit_bytes, defaultBufferLimitBytes),
    maxConnectionsToAcceptPerSocketEvent: compileAcceptLimit(message),
    tcpBacklogSize: unwrap(message.tcp_backlog_size, defaultBacklog),
    ignoreGlobalConnectionLimit: message.ignore_global_conn_limit,
    exactBalance: message.connection_balance_config?.exact_balance != null,
    accessLogs: compileAccessLogs(message.access_log, 'access_log', scope),
    metadata: compileMetadata(message.metadata),
  };
}

function compileAddresses(message: Listener): Address[] {
  return [
    compileSystemAddress(message.address, 'address'),
    ...message.additional_addresses.map(({ address }, i) => compileSystemAddress(address, `additional_addresses[${i}].address`)),
  ];
}

/** An internal listener is reached by its name, and has nothing that only sockets have. */
function compileInternalAddress(message: Listener): Address[] {
  const name = requireText(message.name, 'name');
  const refuse = (field: keyof Listener): never => {
    throw new ConfigError(field, `error adding listener named '${name}': internal address is not compatible with ${field}`);
  };
  if (message.address !== null && message.address.address !== 'envoy_internal_address') refuse('address');
  if (message.additional_addresses.length > 0) refuse('additional_addresses');
  for (const field of ['bind_to_port', 'tcp_fast_open_queue_length', 'connection_balance_config'] as const) {
    if (message[field] !== null) refuse(field);
  }
  if (unwrap(message.transparent, false)) refuse('transparent');
  if (unwrap(message.freebind, false)) refuse('freebind');
  if (message.socket_options.length > 0) refuse('socket_options');
  return [{ kind: 'internal', listener: name, endpointId: '' }];
}

function compileListenerOptions(message: Listener): Pick<ListenerModel, 'socketOptions'> {
  const queueLength = unwrap(message.tcp_fast_open_queue_length, 0);
  const socketOptions = [
    ...compileSocketOptions(message.socket_options, 'socket_options'),
    ...(queueLength > 0 ? [makeFastOpenOption(queueLength)] : []),
  ];
  return socketOptions.length === 0 ? {} : { socketOptions };
}

function compileAcceptLimit(message: Listener): number {
  const limit = unwrap(message.max_connections_to_accept_per_socket_event, 0xffff_ffff);
  if (limit === 0) throw new ConfigError('max_connections_to_accept_per_socket_event', 'value must be greater than 0');
  return limit;
}

function compileChains(
  message: Listener,
  name: string,
  scope: CompileScope,
): Pick<ListenerModel, 'filterChains' | 'defaultFilterChain'> {
  const { filter_chains, default_filter_chain } = message;
  if (filter_chains.length === 0 && default_filter_chain === null) {
    throw new ConfigError('filter_chains', 'no filter chains specified');
  }
  const filterChains = filter_chains.map((chain, i) => compileChain(chain, `filter_chains[${i}]`, name, scope));
  requireDistinctMatches(filterChains, 'filter_chains');
  return {
    filterChains,
    defaultFilterChain:
      default_filter_chain === null ? null : compileChain(default_filter_chain, 'default_filter_chain', name, scope),
  };
}

/** `listener` is its name. */
function compileChain(
  message: protos.envoy.config.listener.v3.FilterChain,
  path: string,
  listener: string,
  scope: CompileScope,
): FilterChainModel {
  const match = compileFilterChainMatch(message.filter_chain_match, `${path}.filter_chain_match`);
  scope.owner = JSON.stringify([listener, match]);
  const chain = {
    name: message.name,
    match,
    transportSocket: compileDownstreamSocket(message.transport_socket, `${path}.transport_socket`, scope),
    transportSocketConnectTimeoutMs: durationMs(
      message.transport_socket_connect_timeout,
      0,
      `${path}.transport_socket_connect_timeout`,
    ),
    filters: compileNetworkFilters(message.filters, `${path}.filters`, scope),
    metadata: compileMetadata(message.metadata),
  };
  return { ...chain, hash: createHash('sha256').update(JSON.stringify(chain)).digest('hex') };
}

function compileListenerFilter(
  message: protos.envoy.config.listener.v3.ListenerFilter,
  path: string,
  scope: CompileScope,
): ListenerFilterModel {
  const definitions = scope.context.extensions.listenerFilters;
  const compiled = compileTypedConfig(definitions, message.typed_config, `${path}.typed_config`, scope);
  if (compiled === null) throw unknownExtension('listener filter', message.name, message.typed_config, path);
  const disabled = message.filter_disabled;
  return {
    kind: compiled.definition.kind,
    name: requireText(message.name, `${path}.name`),
    config: compiled.config,
    disabled: disabled === null ? null : compilePredicate(disabled, `${path}.filter_disabled`),
  };
}

function compilePredicate(message: Predicate, path: string): ListenerFilterPredicate {
  switch (message.rule) {
    case 'any_match':
      if (!message.any_match) throw new ConfigError(`${path}.any_match`, 'value must equal true');
      return { kind: 'any' };
    case 'destination_port_range': {
      const { start, end } = message.destination_port_range!;
      return { kind: 'destination-port-range', start, end };
    }
    case 'not_match':
      return { kind: 'not', rule: compilePredicate(message.not_match!, `${path}.not_match`) };
    case 'and_match':
    case 'or_match': {
      const rules = message[message.rule]!.rules;
      if (rules.length < 2) throw new ConfigError(`${path}.${message.rule}.rules`, 'value must contain at least 2 item(s)');
      return {
        kind: message.rule === 'and_match' ? 'and' : 'or',
        rules: rules.map((rule, i) => compilePredicate(rule, `${path}.${message.rule}.rules[${i}]`)),
      };
    }
    default:
      throw new ConfigError(path, 'rule is required');
  }
}
