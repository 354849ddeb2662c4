/** `envoy.filters.http.local_ratelimit`: token buckets of this process, for all requests and for descriptors. */
import type { protos } from '../../../../../protos/messages.ts';
import { ConfigError } from '../../../../config/compile/config-error.ts';
import { defineExtension, defineHttpFilter } from '../../../../config/compile/extension.ts';
import { classify } from '../../../../config/compile/field-table.ts';
import { compileHeaderAdditions } from '../../../../config/compile/header-mutations.ts';
import { compileRateLimits, compileTokenBucket } from '../../../../config/compile/rate-limit.ts';
import { requireRange, requireText, runtimeFraction, unwrap } from '../../../../config/compile/scalars.ts';
import type { CompileScope } from '../../../../config/compile/scope.ts';
import type { FractionalPercent } from '../../../../config/model/matchers.ts';
import type { RateLimitModel, TokenBucketModel } from '../../../../config/model/rate-limit.ts';
import type { HeaderValueOption } from '../../../../config/model/route.ts';

export interface LocalRateLimitModel {
  readonly statPrefix: string;
  /** Of the answer to a request without a token. */
  readonly status: number;
  /** Null: mapped from the status. */
  readonly grpcStatus: number | null;
  /** For requests that no descriptor fits, and for all with `alwaysConsumesDefault`; null: these pass. */
  readonly bucket: TokenBucketModel | null;
  readonly alwaysConsumesDefault: boolean;
  readonly descriptors: readonly LocalDescriptorModel[];
  /** Null: never. */
  readonly enabled: FractionalPercent | null;
  readonly enforced: FractionalPercent | null;
  /** For requests that pass although there was no token. */
  readonly requestHeaders: readonly HeaderValueOption[];
  readonly responseHeaders: readonly HeaderValueOption[];
  readonly stage: number;
  /** Each downstream connection has buckets of its own. */
  readonly isPerConnection: boolean;
  readonly emitsRateLimitHeaders: boolean;
  readonly emitsRetryAfter: boolean;
  readonly virtualHostRateLimits: 'override' | 'include' | 'ignore';
  /** Empty: those of the route and its virtual host. */
  readonly rateLimits: readonly RateLimitModel[];
}

export interface LocalDescriptorModel {
  readonly entries: readonly { readonly key: string; readonly value: string }[];
  readonly bucket: TokenBucketModel;
  /** An empty bucket is counted, and refuses nothing. */
  readonly isShadow: boolean;
}

type LocalRateLimit = protos.envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit;

const tooManyRequests = 429;
const resourceExhausted = 8;
const virtualHostOptions = ['override', 'include', 'ignore'] as const;

/** What tells buckets of equal shape apart: where they stand. Chains keep their buckets when they change places. */
function identify(path: string, scope: CompileScope): string[] {
  return [scope.resource, scope.owner, path.replace(/^filter_chains\[\d+\]/, 'filter_chain')];
}

function compileDescriptors(message: LocalRateLimit, path: string, scope: CompileScope): readonly LocalDescriptorModel[] {
  const seen = new Set<string>();
  return message.descriptors.map((descriptor, i) => {
    const at = `${path}.descriptors[${i}]`;
    if (descriptor.entries.length === 0) throw new ConfigError(`${at}.entries`, 'value must contain at least 1 item(s)');
    if (descriptor.token_bucket === null) throw new ConfigError(`${at}.token_bucket`, 'value is required');
    const entries = descriptor.entries.map(({ key, value }, k) => {
      if (value === '') throw new ConfigError(`${at}.entries[${k}].value`, 'a descriptor for every value is not implemented');
      return { key: requireText(key, `${at}.entries[${k}].key`), value };
    });
    const text = JSON.stringify(entries);
    if (seen.has(text)) throw new ConfigError(at, `duplicate descriptor in the local rate descriptor: ${text}`);
    seen.add(text);
    const bucket = compileTokenBucket(descriptor.token_bucket, `${at}.token_bucket`, identify(at, scope));
    return { entries, bucket, isShadow: descriptor.shadow_mode };
  });
}

function compile(message: LocalRateLimit, path: string, scope: CompileScope): LocalRateLimitModel {
  const bucket = message.token_bucket;
  const status = message.status?.code ?? 0;
  return {
    statPrefix: requireText(message.stat_prefix, `${path}.stat_prefix`),
    status: status >= 400 ? status : tooManyRequests,
    grpcStatus: message.rate_limited_as_resource_exhausted ? resourceExhausted : null,
    bucket: bucket === null ? null : compileTokenBucket(bucket, `${path}.token_bucket`, identify(path, scope)),
    alwaysConsumesDefault: unwrap(message.always_consume_default_token_bucket, true),
    descriptors: compileDescriptors(message, path, scope),
    enabled: runtimeFraction(message.filter_enabled, `${path}.filter_enabled`),
    enforced: runtimeFraction(message.filter_enforced, `${path}.filter_enforced`),
    requestHeaders: compileHeaderAdditions(
      message.request_headers_to_add_when_not_enforced,
      `${path}.request_headers_to_add_when_not_enforced`,
    ),
    responseHeaders: compileHeaderAdditions(message.response_headers_to_add, `${path}.response_headers_to_add`),
    stage: requireRange(message.stage, 0, 10, `${path}.stage`),
    isPerConnection: message.local_rate_limit_per_downstream_connection,
    emitsRateLimitHeaders: message.enable_x_ratelimit_headers !== 0,
    emitsRetryAfter: message.enable_retry_after_header,
    virtualHostRateLimits: virtualHostOptions[message.vh_rate_limits],
    rateLimits: compileRateLimits(message.rate_limits, `${path}.rate_limits`, scope),
  };
}

/** On a route the limit is all there is to say: one without a bucket is a mistake. */
function compilePerRoute(message: LocalRateLimit, path: string, scope: CompileScope): LocalRateLimitModel {
  if (message.token_bucket === null) {
    throw new ConfigError(`${path}.token_bucket`, 'local rate limit token bucket must be set for per filter configs');
  }
  return compile(message, path, scope);
}

const kind = 'envoy.filters.http.local_ratelimit';
const message = 'envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit';
const common = 'envoy.extensions.common.ratelimit.v3';
const fields = {
  [message]: classify({
    implemented: `stat_prefix status token_bucket filter_enabled filter_enforced request_headers_to_add_when_not_enforced
      response_headers_to_add descriptors stage local_rate_limit_per_downstream_connection enable_x_ratelimit_headers
      vh_rate_limits always_consume_default_token_bucket rate_limited_as_resource_exhausted rate_limits
      enable_retry_after_header`,
    ignored: { max_dynamic_descriptors: 'descriptors for every value are refused' },
    rejected: 'local_cluster_rate_limit',
  }),
  [`${common}.LocalRateLimitDescriptor`]: classify({ implemented: 'entries token_bucket shadow_mode' }),
  [`${common}.RateLimitDescriptor.Entry`]: classify({ implemented: 'key value' }),
  'envoy.type.v3.HttpStatus': classify({ implemented: 'code' }),
};

export const localRateLimitFilter = defineHttpFilter({
  kind,
  message,
  compile,
  fields,
  perRoute: [defineExtension({ kind, message, compile: compilePerRoute, fields })],
});
