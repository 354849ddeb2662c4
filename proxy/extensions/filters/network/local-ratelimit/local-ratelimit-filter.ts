/** Run time of `envoy.filters.network.local_ratelimit`: a connection without a token is closed before anything is read of it. */
import type { NetworkFactoryContext, NetworkFilterFactory } from '../../../../network/filter.ts';
import { FilterStatus } from '../../../../network/filter.ts';
import type { ConnectionRateLimitModel } from './config.ts';

export function createConnectionRateLimitFilter(
  { statPrefix, bucket: model, enabled, runtimeKey }: ConnectionRateLimitModel,
  { stats, services }: NetworkFactoryContext,
): NetworkFilterFactory {
  const limited = stats.counter(`local_rate_limit.${statPrefix}.rate_limited`);
  const bucket = services.tokenBuckets.attach(model);
  const isEnabled = () => (runtimeKey === '' ? enabled : services.runtime.getBoolean(runtimeKey, enabled));
  return ({ connection }) => {
    let isRefused = false;
    return {
      onNewConnection() {
        if (!isEnabled() || bucket.consume()) return FilterStatus.continue;
        isRefused = true;
        limited.inc();
        connection.close('no-flush', 'local_ratelimit_close_over_limit');
        return FilterStatus.stop;
      },
      onData: () => (isRefused ? FilterStatus.stop : FilterStatus.continue),
    };
  };
}
