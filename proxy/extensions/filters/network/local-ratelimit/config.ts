/** `envoy.filters.network.local_ratelimit`: a token per connection. */
import type { protos } from '../../../../../protos/messages.ts';
import { ConfigError } from '../../../../config/compile/config-error.ts';
import { defineNetworkFilter } from '../../../../config/compile/extension.ts';
import { classify } from '../../../../config/compile/field-table.ts';
import { compileTokenBucket } from '../../../../config/compile/rate-limit.ts';
import { requireText, unwrap } from '../../../../config/compile/scalars.ts';
import type { CompileScope } from '../../../../config/compile/scope.ts';
import type { TokenBucketModel } from '../../../../config/model/rate-limit.ts';

export interface ConnectionRateLimitModel {
  readonly statPrefix: string;
  readonly bucket: TokenBucketModel;
  readonly enabled: boolean;
  /** Of a flag that replaces `enabled`; empty: none. */
  readonly runtimeKey: string;
}

type LocalRateLimit = protos.envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit;

function compile(message: LocalRateLimit, path: string, scope: CompileScope): ConnectionRateLimitModel {
  if (message.token_bucket === null) throw new ConfigError(`${path}.token_bucket`, 'value is required');
  const { share_key, runtime_enabled } = message;
  const place = path.replace(/^filter_chains\[\d+\]/, 'filter_chain');
  const identity = share_key === '' ? [scope.resource, scope.owner, place] : ['share_key', share_key];
  return {
    statPrefix: requireText(message.stat_prefix, `${path}.stat_prefix`),
    bucket: compileTokenBucket(message.token_bucket, `${path}.token_bucket`, identity),
    enabled: runtime_enabled === null ? true : unwrap(runtime_enabled.default_value, true),
    runtimeKey: runtime_enabled?.runtime_key ?? '',
  };
}

export const connectionRateLimitFilter = defineNetworkFilter({
  kind: 'envoy.filters.network.local_ratelimit',
  message: 'envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit',
  compile,
  fields: {
    'envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit': classify({
      implemented: 'stat_prefix token_bucket runtime_enabled share_key',
    }),
    'envoy.config.core.v3.RuntimeFeatureFlag': classify({ implemented: 'default_value runtime_key' }),
  },
});
