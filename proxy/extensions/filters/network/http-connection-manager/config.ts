/** `envoy.filters.network.http_connection_manager`. */
import type { protos } from '../../../../../protos/messages.ts';
import { compileAccessLogs } from '../../../../config/compile/access-log.ts';
import { compileCidrRanges } from '../../../../config/compile/address.ts';
import { ConfigError } from '../../../../config/compile/config-error.ts';
import { compileConfigSource } from '../../../../config/compile/config-source.ts';
import { defineNetworkFilter } from '../../../../config/compile/extension.ts';
import { compileHttpFilters } from '../../../../config/compile/filter-list.ts';
import { compileCommonHttpOptions, compileHttp1Options, compileHttp2Options } from '../../../../config/compile/http-protocol.ts';
import { compileLocalReply } from '../../../../config/compile/local-reply.ts';
import { compileRouteMessage } from '../../../../config/compile/route.ts';
import { listRouteClusters } from '../../../../config/compile/route-clusters.ts';
import { durationMs, percent, requireRange, requireText, unwrap } from '../../../../config/compile/scalars.ts';
import type { CompileScope } from '../../../../config/compile/scope.ts';
import { openExpected } from '../../../../config/compile/typed-config.ts';
import type { HttpConnectionManagerModel, TracingModel } from '../../../../config/model/http-connection-manager.ts';
import { managerFields } from './fields.ts';

type Manager = protos.envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager;

const codecTypes = ['auto', 'http1', 'http2'] as const;
const serverHeaders = ['overwrite', 'append-if-absent', 'pass-through'] as const;
const forwardedCerts = ['sanitize', 'forward-only', 'append-forward', 'sanitize-set', 'always-forward-only'] as const;
// The implementation's default is to keep them.
const escapedSlashes = ['keep', 'keep', 'reject', 'unescape-and-redirect', 'unescape-and-forward'] as const;
const uuidType = 'envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig';
const defaultServerName = 'envoy';

function compile(message: Manager, path: string, scope: CompileScope): HttpConnectionManagerModel {
  const codecType = codecTypes[message.codec_type];
  if (codecType === undefined) throw new ConfigError(`${path}.codec_type`, 'HTTP3 is not implemented');
  const common = compileCommonHttpOptions(message.common_http_protocol_options, `${path}.common_http_protocol_options`);
  return {
    kind: 'envoy.filters.network.http_connection_manager',
    codecType,
    statPrefix: requireText(message.stat_prefix, `${path}.stat_prefix`),
    route: compileRouteSource(message, path, scope),
    httpFilters: compileHttpFilters(message.http_filters, `${path}.http_filters`, scope),
    accessLogs: compileAccessLogs(message.access_log, `${path}.access_log`, scope),
    ...compileLocalReply(message.local_reply_config, `${path}.local_reply_config`, scope),
    ...compileIdentity(message, path),
    ...compileRequestId(message, path, scope),
    tracing: compileTracing(message, path, scope),
    ...compilePathRules(message, path),
    upgrades: compileUpgrades(message, path, scope),
    http1: compileHttp1Options(message.http_protocol_options, `${path}.http_protocol_options`, scope),
    http2: compileHttp2Options(
      message.http2_protocol_options,
      `${path}.http2_protocol_options`,
      unwrap(message.stream_error_on_invalid_http_message, null),
    ),
    ...common,
    ...compileTimeouts(message, path),
    maxRequestHeadersBytes:
      requireRange(unwrap(message.max_request_headers_kb, 60), 1, 8192, `${path}.max_request_headers_kb`) * 1024,
  };
}

function compileRouteSource(message: Manager, path: string, scope: CompileScope): HttpConnectionManagerModel['route'] {
  if (message.route_config !== null) {
    const config = compileRouteMessage(message.route_config, `${path}.route_config`, scope);
    if (unwrap(message.route_config.validate_clusters, true)) scope.requiredClusters.push(...listRouteClusters(config));
    return { kind: 'inline', config };
  }
  if (message.rds === null) throw new ConfigError(path, 'route_specifier is required');
  const source = compileConfigSource(message.rds.config_source, `${path}.rds.config_source`);
  const name = requireText(message.rds.route_config_name, `${path}.rds.route_config_name`);
  scope.routeSources.set(name, source);
  return { kind: 'rds', name };
}

type Identity = Pick<
  HttpConnectionManagerModel,
  | 'serverName'
  | 'serverHeaderTransformation'
  | 'schemeOverwrite'
  | 'useRemoteAddress'
  | 'xffNumTrustedHops'
  | 'skipXffAppend'
  | 'appendXForwardedPort'
  | 'via'
  | 'internalAddresses'
  | 'forwardClientCert'
  | 'setCurrentClientCert'
  | 'proxy100Continue'
>;

function compileIdentity(message: Manager, path: string): Identity {
  const scheme = message.scheme_header_transformation?.scheme_to_overwrite || null;
  if (scheme !== null && scheme !== 'http' && scheme !== 'https') {
    throw new ConfigError(`${path}.scheme_header_transformation.scheme_to_overwrite`, 'value must be in list [http, https]');
  }
  const internal = message.internal_address_config;
  const details = message.set_current_client_cert_details;
  return {
    serverName: message.server_name || defaultServerName,
    serverHeaderTransformation: serverHeaders[message.server_header_transformation],
    schemeOverwrite: scheme,
    useRemoteAddress: unwrap(message.use_remote_address, false),
    xffNumTrustedHops: message.xff_num_trusted_hops,
    skipXffAppend: message.skip_xff_append,
    appendXForwardedPort: message.append_x_forwarded_port,
    via: message.via,
    internalAddresses: {
      unixSockets: internal?.unix_sockets ?? false,
      cidrRanges: compileCidrRanges(internal?.cidr_ranges ?? [], `${path}.internal_address_config.cidr_ranges`),
    },
    forwardClientCert: forwardedCerts[message.forward_client_cert_details],
    setCurrentClientCert: {
      subject: unwrap(details?.subject ?? null, false),
      cert: details?.cert ?? false,
      chain: details?.chain ?? false,
      dns: details?.dns ?? false,
      uri: details?.uri ?? false,
    },
    proxy100Continue: message.proxy_100_continue,
  };
}

type RequestId = Pick<
  HttpConnectionManagerModel,
  'generateRequestId' | 'preserveExternalRequestId' | 'alwaysSetRequestIdInResponse' | 'requestId'
>;

function compileRequestId(message: Manager, path: string, scope: CompileScope): RequestId {
  const any = message.request_id_extension?.typed_config ?? null;
  const uuid =
    any === null
      ? null
      : (openExpected(any, uuidType, `${path}.request_id_extension.typed_config`, scope) as {
          pack_trace_reason: { value: boolean } | null;
          use_request_id_for_trace_sampling: { value: boolean } | null;
        });
  return {
    generateRequestId: unwrap(message.generate_request_id, true),
    preserveExternalRequestId: message.preserve_external_request_id,
    alwaysSetRequestIdInResponse: message.always_set_request_id_in_response,
    requestId: {
      packTraceReason: unwrap(uuid?.pack_trace_reason ?? null, true),
      useForTraceSampling: unwrap(uuid?.use_request_id_for_trace_sampling ?? null, true),
    },
  };
}

function compileTracing(message: Manager, path: string, scope: CompileScope): TracingModel | null {
  const tracing = message.tracing;
  if (tracing === null) return null;
  const at = `${path}.tracing`;
  if (tracing.provider !== null) {
    scope.warn(`${at}.provider`, `tracer ${tracing.provider.name} is not implemented: accepted without effect`);
  }
  return {
    clientSampling: percent(tracing.client_sampling, 100, `${at}.client_sampling`),
    randomSampling: percent(tracing.random_sampling, 100, `${at}.random_sampling`),
    overallSampling: percent(tracing.overall_sampling, 100, `${at}.overall_sampling`),
  };
}

type PathRules = Pick<
  HttpConnectionManagerModel,
  'normalizePath' | 'mergeSlashes' | 'escapedSlashes' | 'stripPort' | 'stripTrailingHostDot'
>;

function compilePathRules(message: Manager, path: string): PathRules {
  if (message.strip_any_host_port && message.strip_matching_host_port) {
    throw new ConfigError(path, 'Error: Only one of `strip_matching_host_port` or `strip_any_host_port` can be set.');
  }
  return {
    normalizePath: unwrap(message.normalize_path, false),
    mergeSlashes: message.merge_slashes,
    escapedSlashes: escapedSlashes[message.path_with_escaped_slashes_action],
    stripPort: message.strip_any_host_port ? 'any' : message.strip_matching_host_port ? 'matching' : 'none',
    stripTrailingHostDot: message.strip_trailing_host_dot,
  };
}

function compileUpgrades(message: Manager, path: string, scope: CompileScope): HttpConnectionManagerModel['upgrades'] {
  const seen = new Set<string>();
  return message.upgrade_configs.map((upgrade, i) => {
    const at = `${path}.upgrade_configs[${i}]`;
    const type = requireText(upgrade.upgrade_type, `${at}.upgrade_type`).toLowerCase();
    if (seen.has(type))
      throw new ConfigError(at, `Error: multiple upgrade configs with the same name: '${upgrade.upgrade_type}'`);
    seen.add(type);
    const filters = upgrade.filters.length === 0 ? null : compileHttpFilters(upgrade.filters, `${at}.filters`, scope);
    return { type, enabled: unwrap(upgrade.enabled, true), filters };
  });
}

type Timeouts = Pick<
  HttpConnectionManagerModel,
  'streamIdleTimeoutMs' | 'requestTimeoutMs' | 'requestHeadersTimeoutMs' | 'delayedCloseTimeoutMs' | 'drainTimeoutMs'
>;

function compileTimeouts(message: Manager, path: string): Timeouts {
  return {
    streamIdleTimeoutMs: durationMs(message.stream_idle_timeout, 300_000, `${path}.stream_idle_timeout`),
    requestTimeoutMs: durationMs(message.request_timeout, 0, `${path}.request_timeout`),
    requestHeadersTimeoutMs: durationMs(message.request_headers_timeout, 0, `${path}.request_headers_timeout`),
    delayedCloseTimeoutMs: durationMs(message.delayed_close_timeout, 1000, `${path}.delayed_close_timeout`),
    drainTimeoutMs: durationMs(message.drain_timeout, 5000, `${path}.drain_timeout`),
  };
}

export const httpConnectionManagerFilter = defineNetworkFilter({
  kind: 'envoy.filters.network.http_connection_manager',
  message: 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
  terminal: true,
  compile,
  fields: managerFields,
});
