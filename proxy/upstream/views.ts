/** What the rest of the request path sees of clusters, hosts and pools. The implementations live beside this file. */
import type { Address } from '../config/model/address.ts';
import type { ClusterModel } from '../config/model/cluster.ts';
import type { Metadata } from '../config/model/matchers.ts';

/** One upstream host, on one worker. */
export interface HostView {
  readonly address: Address;
  /** `ip:port` or path. */
  readonly addressText: string;
  readonly hostname: string;
  readonly metadata: Metadata;
  readonly locality: { readonly region: string; readonly zone: string; readonly subZone: string };
  readonly priority: number;
}

export interface ClusterView {
  readonly name: string;
  readonly model: ClusterModel;
}
