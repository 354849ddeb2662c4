/** What the admin API reads and controls; the composition root hands it over. */
import type { protos } from '../../protos/messages.ts';
import type { Address, SystemAddress } from '../config/model/address.ts';
import type { AccessLogModel } from '../config/model/access-log.ts';
import type { ClusterModel, HostModel, SlottedHostModel } from '../config/model/cluster.ts';
import type { SecretModel } from '../config/model/tls.ts';
import type { StatsMerger } from '../telemetry/stats-merger.ts';
import type { ResourceStore } from '../xds/resource-store.ts';
import type { RegisteredCluster } from '../upstream/registered-hosts.ts';

export interface AdminContext {
  /** Where the API listens; what its access log is. */
  readonly address: SystemAddress;
  readonly accessLogs: readonly AccessLogModel[];
  /** As loaded, before compilation. */
  readonly bootstrap: protos.envoy.config.bootstrap.v3.Bootstrap;
  readonly bootstrapLoadedMs: number;
  /** `CommandLineOptions` of /server_info, in .proto names. */
  readonly commandLineOptions: { readonly [name: string]: unknown };
  readonly resources: ResourceStore;
  /** Version of the last accepted response of a type; '' if there was none. */
  versionInfo(kind: 'cluster' | 'listener'): string;
  readonly stats: StatsMerger;
  readonly clusters: { list(): Iterable<AdminCluster> };
  readonly listeners: { list(): Iterable<AdminListener> };
  readonly secrets: { list(): Iterable<SecretModel> };
  readonly runtime: AdminRuntime;
  readonly server: ServerControl;
}

export interface AdminCluster {
  readonly model: ClusterModel;
  readonly addedViaApi: boolean;
  readonly successRates: RegisteredCluster['successRates'];
  readonly hosts: Iterable<AdminHost>;
}

export interface AdminHost {
  readonly host: HostModel & Pick<SlottedHostModel, 'slot' | 'healthFlags' | 'isLeaving'>;
  readonly locality: { readonly region: string; readonly zone: string; readonly subZone: string };
  /** Weight of the host's locality; 0: unset. */
  readonly localityWeight: number;
  readonly priority: number;
  /** Ejected by outlier detection. */
  readonly ejected: boolean;
  readonly counters: HostCounts;
}

/** Live counts of one host over all workers. */
export interface HostCounts {
  readonly connectionsActive: number;
  readonly connectionsTotal: number;
  readonly connectFailures: number;
  readonly requestsActive: number;
  readonly requestsTotal: number;
  readonly requestsSucceeded: number;
  readonly requestsFailed: number;
  readonly requestsTimedOut: number;
}

export interface AdminListener {
  readonly name: string;
  /** As bound, the port resolved; the main address first. */
  readonly boundAddresses: readonly Address[];
}

export interface AdminRuntime {
  readonly hasAdminLayer: boolean;
  readonly layers: readonly { readonly name: string; readonly values: { readonly [key: string]: string | number | boolean } }[];
  readonly values: { readonly [key: string]: string | number | boolean };
  modify(changes: { readonly [key: string]: string }): void;
}

export interface ServerControl {
  readonly state: 'LIVE' | 'DRAINING' | 'PRE_INITIALIZING' | 'INITIALIZING';
  /** Wall clock. */
  readonly startTimeMs: number;
  /** What initialization still waits for, by the name of who waits. */
  listUnready(): Iterable<{ readonly name: string; readonly targets: readonly string[] }>;
  /** Ends the process in an orderly way. */
  quit(): void;
  setHealthCheckFailed(failed: boolean): void;
  drainListeners(options: DrainOptions): void;
  /** Sets all loggers to `level` (null: keep), then single ones, on every thread. */
  setLogLevels(level: string | null, components: { readonly [component: string]: string }): void;
  reopenLogs(): void;
}

export interface DrainOptions {
  readonly graceful: boolean;
  readonly skipExit: boolean;
  readonly inboundOnly: boolean;
}
