/** `envoy.type.v3.TokenBucket` and `envoy.config.route.v3.RateLimit`. */
import { createHash } from 'node:crypto';
import type { protos } from '../../../protos/messages.ts';
import type { RateLimitAction, RateLimitModel, TokenBucketModel } from '../model/rate-limit.ts';
import { ConfigError } from './config-error.ts';
import { compileHeaderMatchers, compileQueryParameterMatcher, requireHeaderName } from './matchers.ts';
import { positiveDurationMs, requireRange, requireText, unwrap } from './scalars.ts';
import type { CompileScope } from './scope.ts';

type Action = protos.envoy.config.route.v3.RateLimit.Action;

/** Shorter intervals are refused. */
const minFillIntervalMs = 50;

/** `identity` names the bucket within its resource, or beyond it where several resources share one. */
export function compileTokenBucket(
  message: protos.envoy.type.v3.TokenBucket,
  path: string,
  identity: readonly string[],
): TokenBucketModel {
  if (message.max_tokens === 0) throw new ConfigError(`${path}.max_tokens`, 'value must be greater than 0');
  const tokensPerFill = unwrap(message.tokens_per_fill, 1);
  if (tokensPerFill === 0) throw new ConfigError(`${path}.tokens_per_fill`, 'value must be greater than 0');
  if (message.fill_interval === null) throw new ConfigError(`${path}.fill_interval`, 'value is required');
  const fillIntervalMs = positiveDurationMs(message.fill_interval, 0, `${path}.fill_interval`);
  if (fillIntervalMs < minFillIntervalMs) {
    throw new ConfigError(`${path}.fill_interval`, 'local rate limit token bucket fill timer must be >= 50ms');
  }
  const shape = { maxTokens: message.max_tokens, tokensPerFill, fillIntervalMs };
  const id = createHash('sha256')
    .update(JSON.stringify([identity, shape]))
    .digest('hex')
    .slice(0, 16);
  return { id, ...shape };
}

/** `path` is that of the list. */
export function compileRateLimits(
  messages: readonly protos.envoy.config.route.v3.RateLimit[],
  path: string,
  scope: CompileScope,
): readonly RateLimitModel[] {
  return messages.map((message, i) => {
    const at = `${path}[${i}]`;
    if (message.actions.length === 0) throw new ConfigError(`${at}.actions`, 'value must contain at least 1 item(s)');
    return {
      stage: requireRange(unwrap(message.stage, 0), 0, 10, `${at}.stage`),
      disableKey: message.disable_key,
      actions: message.actions.map((action, k) => compileAction(action, `${at}.actions[${k}]`, scope)),
    };
  });
}

function compileAction(message: Action, path: string, scope: CompileScope): RateLimitAction {
  switch (message.action_specifier) {
    case 'source_cluster':
      return { kind: 'source-cluster' };
    case 'destination_cluster':
      return { kind: 'destination-cluster' };
    case 'remote_address':
      return { kind: 'remote-address' };
    case 'request_headers': {
      const { header_name, descriptor_key, skip_if_absent } = message.request_headers!;
      return {
        kind: 'request-header',
        header: requireHeaderName(header_name, `${path}.request_headers.header_name`).toLowerCase(),
        key: requireText(descriptor_key, `${path}.request_headers.descriptor_key`),
        skipIfAbsent: skip_if_absent,
      };
    }
    case 'generic_key': {
      const { descriptor_key, descriptor_value } = message.generic_key!;
      const value = requireText(descriptor_value, `${path}.generic_key.descriptor_value`);
      return { kind: 'generic-key', key: descriptor_key || 'generic_key', value };
    }
    case 'header_value_match':
    case 'query_parameter_value_match':
      return compileValueMatch(message, path, scope);
    case 'metadata':
      return compileMetadataAction(message.metadata!, `${path}.metadata`);
    case 'masked_remote_address': {
      const { v4_prefix_mask_len, v6_prefix_mask_len } = message.masked_remote_address!;
      const at = `${path}.masked_remote_address`;
      return {
        kind: 'masked-remote-address',
        v4Bits: requireRange(unwrap(v4_prefix_mask_len, 32), 0, 32, `${at}.v4_prefix_mask_len`),
        v6Bits: requireRange(unwrap(v6_prefix_mask_len, 128), 0, 128, `${at}.v6_prefix_mask_len`),
      };
    }
    default:
      throw new ConfigError(path, 'action_specifier is required');
  }
}

function compileValueMatch(message: Action, path: string, scope: CompileScope): RateLimitAction {
  const ofHeaders = message.header_value_match;
  if (ofHeaders !== null) {
    const at = `${path}.header_value_match`;
    if (ofHeaders.headers.length === 0) throw new ConfigError(`${at}.headers`, 'value must contain at least 1 item(s)');
    return {
      kind: 'header-match',
      key: ofHeaders.descriptor_key || 'header_match',
      value: requireText(ofHeaders.descriptor_value, `${at}.descriptor_value`),
      expectMatch: unwrap(ofHeaders.expect_match, true),
      headers: compileHeaderMatchers(ofHeaders.headers, `${at}.headers`, scope),
    };
  }
  const at = `${path}.query_parameter_value_match`;
  const ofQuery = message.query_parameter_value_match!;
  if (ofQuery.query_parameters.length === 0) {
    throw new ConfigError(`${at}.query_parameters`, 'value must contain at least 1 item(s)');
  }
  return {
    kind: 'query-match',
    key: ofQuery.descriptor_key || 'query_match',
    value: requireText(ofQuery.descriptor_value, `${at}.descriptor_value`),
    expectMatch: unwrap(ofQuery.expect_match, true),
    queryParameters: ofQuery.query_parameters.map((matcher, i) =>
      compileQueryParameterMatcher(matcher, `${at}.query_parameters[${i}]`, scope),
    ),
  };
}

function compileMetadataAction(message: protos.envoy.config.route.v3.RateLimit.Action.MetaData, path: string): RateLimitAction {
  const key = message.metadata_key;
  if (key === null) throw new ConfigError(`${path}.metadata_key`, 'value is required');
  return {
    kind: 'metadata',
    key: requireText(message.descriptor_key, `${path}.descriptor_key`),
    source: message.source === 1 ? 'route' : 'dynamic',
    namespace: requireText(key.key, `${path}.metadata_key.key`),
    path: key.path.map((segment, i) => requireText(segment.key ?? '', `${path}.metadata_key.path[${i}].key`)),
    defaultValue: message.default_value,
    skipIfAbsent: message.skip_if_absent,
  };
}
