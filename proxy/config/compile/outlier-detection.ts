/** `envoy.config.cluster.v3.OutlierDetection`. */
import type { protos } from '../../../protos/messages.ts';
import type { OutlierDetectionModel } from '../model/cluster.ts';
import { durationMs, positiveDurationMs, requireRange, unwrap } from './scalars.ts';

type OutlierDetection = protos.envoy.config.cluster.v3.OutlierDetection;

export function compileOutlierDetection(message: OutlierDetection | null): OutlierDetectionModel | null {
  if (message === null) return null;
  type Count = {
    [K in keyof OutlierDetection]: OutlierDetection[K] extends protos.google.protobuf.UInt32Value | null ? K : never;
  }[keyof OutlierDetection];
  const count = (field: Count, fallback: number): number => unwrap(message[field], fallback);
  const share = (field: Count, fallback: number): number =>
    requireRange(unwrap(message[field], fallback), 0, 100, `outlier_detection.${field}`);
  const time = (field: 'interval' | 'base_ejection_time' | 'max_ejection_time', fallback: number): number =>
    positiveDurationMs(message[field], fallback, `outlier_detection.${field}`);
  const baseEjectionTimeMs = time('base_ejection_time', 30_000);
  const jitterMs = durationMs(message.max_ejection_time_jitter, 0, 'outlier_detection.max_ejection_time_jitter');
  return {
    consecutive5xx: count('consecutive_5xx', 5),
    enforcingConsecutive5xx: share('enforcing_consecutive_5xx', 100),
    consecutiveGatewayFailure: count('consecutive_gateway_failure', 5),
    enforcingConsecutiveGatewayFailure: share('enforcing_consecutive_gateway_failure', 0),
    consecutiveLocalOriginFailure: count('consecutive_local_origin_failure', 5),
    enforcingConsecutiveLocalOriginFailure: share('enforcing_consecutive_local_origin_failure', 100),
    splitExternalLocalOriginErrors: message.split_external_local_origin_errors,
    intervalMs: time('interval', 10_000),
    baseEjectionTimeMs,
    maxEjectionTimeMs: time('max_ejection_time', Math.max(300_000, baseEjectionTimeMs)),
    maxEjectionPercent: share('max_ejection_percent', 10),
    ...(unwrap(message.always_eject_one_host, false) && { alwaysEjectOneHost: true }),
    ...(!unwrap(message.successful_active_health_check_uneject_host, true) && { keepEjectedWhenHealthy: true }),
    ...(jitterMs > 0 && { maxEjectionTimeJitterMs: jitterMs }),
    enforcingSuccessRate: share('enforcing_success_rate', 100),
    successRateMinimumHosts: count('success_rate_minimum_hosts', 5),
    successRateRequestVolume: count('success_rate_request_volume', 100),
    successRateStdevFactor: count('success_rate_stdev_factor', 1900),
    enforcingFailurePercentage: share('enforcing_failure_percentage', 0),
    enforcingLocalOriginSuccessRate: share('enforcing_local_origin_success_rate', 100),
    enforcingLocalOriginFailurePercentage: share('enforcing_failure_percentage_local_origin', 0),
    failurePercentageThreshold: share('failure_percentage_threshold', 85),
    failurePercentageMinimumHosts: count('failure_percentage_minimum_hosts', 5),
    failurePercentageRequestVolume: count('failure_percentage_request_volume', 50),
  };
}
