/** `cluster.<name>.health_check.*`. */
import type { Counter, Gauge, StatsStore } from '../../telemetry/stats-store.ts';

export class HealthStats {
  readonly attempt: Counter;
  readonly success: Counter;
  readonly failure: Counter;
  readonly networkFailure: Counter;
  readonly verifyCluster: Counter;
  readonly healthy: Gauge;
  readonly degraded: Gauge;

  /** `prefix` is that of the cluster. */
  constructor(store: StatsStore, prefix: string) {
    const counter = (name: string) => store.counter(`${prefix}health_check.${name}`);
    this.attempt = counter('attempt');
    this.success = counter('success');
    this.failure = counter('failure');
    this.networkFailure = counter('network_failure');
    this.verifyCluster = counter('verify_cluster');
    counter('passive_failure');
    this.healthy = store.gauge(`${prefix}health_check.healthy`);
    this.degraded = store.gauge(`${prefix}health_check.degraded`);
    this.healthy.set(0);
    this.degraded.set(0);
  }
}
