/** Clusters and hosts as the admin API shows them. */
import type { ClusterModel, HostSetModel, SlottedHostModel } from '../config/model/cluster.ts';
import type { HostCounterValues, HostSlots } from './host-slots.ts';
import type { OutlierDetector } from './outlier-detector.ts';
import type { SuccessRates } from './success-rate.ts';

export interface RegisteredHost {
  readonly model: SlottedHostModel;
  readonly locality: { readonly region: string; readonly zone: string; readonly subZone: string };
  /** 0: unset. */
  readonly localityWeight: number;
  readonly priority: number;
  readonly ejected: boolean;
  readonly counters: HostCounterValues;
}

export interface RegisteredCluster {
  readonly model: ClusterModel;
  readonly hosts: readonly RegisteredHost[];
  /** `ip:port` of the hosts that workers made for an original destination cluster. */
  readonly dynamicHosts: readonly string[];
  /** Of outlier detection's last interval; null where there is none. */
  readonly successRates: { readonly external: SuccessRates; readonly local: SuccessRates } | null;
}

export function readSuccessRates(detector: OutlierDetector | null): RegisteredCluster['successRates'] {
  return detector === null ? null : { external: detector.ratesOf('external'), local: detector.ratesOf('local') };
}

export function listRegisteredHosts(
  set: HostSetModel | null,
  detector: OutlierDetector | null,
  slots: HostSlots,
): RegisteredHost[] {
  return (set?.localities ?? []).flatMap(({ hosts, region, zone, subZone, priority, weight }) =>
    hosts.map(model => ({
      model,
      locality: { region, zone, subZone },
      localityWeight: weight,
      priority,
      ejected: detector?.isEjected(model.slot) ?? false,
      counters: slots.read(model.slot),
    })),
  );
}
