/**
 * Everything that crosses between the main thread and a worker. Configuration travels as JSON text, in shared memory (outbox.ts),
 * that the worker parses when it needs it (models are plain data), secrets as their own messages, sockets as transferred handles.
 */
import type { SharedText } from '../../common/shared-text.ts';
import type { HostSetModel } from '../config/model/cluster.ts';
import type { SecretModel } from '../config/model/tls.ts';
import type { NodeModel } from '../http/filter.ts';
import type { StatFamilyName } from '../telemetry/stat-families.ts';
import type { StatKind, StatRegistration } from '../telemetry/stats-store.ts';
import type { InboxPort } from './outbox.ts';

/** `workerData` of a new worker. */
export interface WorkerStart {
  readonly inbox: InboxPort;
  readonly workerIndex: number;
  readonly workerCount: number;
  readonly node: NodeModel;
  /** The cluster whose hosts are the proxies of this service; empty: none is named. */
  readonly localCluster: string;
  readonly statsMatcher: StatsMatcherModel;
  /** Row tables of shared counters; upstream/shared-counters.ts knows their layout. */
  readonly hostCounters: SharedArrayBuffer;
  readonly clusterCounters: SharedArrayBuffer;
  /** Open downstream connections per worker, 32 bits each. */
  readonly connectionCounts: SharedArrayBuffer;
  /** The table of all token buckets; network/shared-token-buckets.ts knows its layout. */
  readonly tokenBuckets: SharedArrayBuffer;
  readonly runtime: { readonly [key: string]: string | number | boolean };
  readonly logLevel: string;
  readonly componentLogLevels: { readonly [component: string]: string };
  /** File of the log; empty: standard error. */
  readonly logPath: string;
  readonly fileFlushIntervalMs: number;
  readonly fileFlushMinBytes: number;
  readonly globalConnectionLimit: number;
  readonly drainTimeMs: number;
}

/** The bootstrap's stats matcher: a name is kept if any pattern of the inclusion list matches (none of the exclusion list). */
export interface StatsMatcherModel {
  readonly kind: 'all' | 'none' | 'inclusion' | 'exclusion';
  readonly patterns: readonly import('../config/model/matchers.ts').StringMatcher[];
}

/** As the main thread makes it. */
export type MainToWorker = ConfigMessage<string>;
/** As it reaches a worker. */
export type SharedMessage = ConfigMessage<SharedText>;

export type ConfigMessage<Text> =
  /** JSON of a ClusterModel; `row` is its row in the shared cluster table. */
  | {
      readonly type: 'cluster';
      readonly name: string;
      readonly row: number;
      readonly model: Text;
      /** It has an active health check, which runs without requests. */
      readonly isChecked?: boolean;
    }
  | { readonly type: 'cluster-removed'; readonly name: string }
  /** JSON of a HostSetModel. */
  | { readonly type: 'hosts'; readonly cluster: string; readonly hosts: Text }
  | { readonly type: 'secret'; readonly secret: SecretModel }
  /** As router/route-config-text.ts writes it. */
  | { readonly type: 'route-config'; readonly name: string; readonly model: Text }
  | { readonly type: 'route-config-removed'; readonly name: string }
  /** JSON of a FilterModel or of null; absent: there is no configuration any more. */
  | { readonly type: 'extension-config'; readonly category: string; readonly name: string; readonly model?: Text }
  /** JSON of a ListenerModel; the same name replaces, connections of unchanged filter chains stay. */
  | { readonly type: 'listener'; readonly name: string; readonly model: Text }
  | { readonly type: 'listener-removed'; readonly name: string }
  /** Accept on a dup of the main thread's listening socket, which the worker then owns. */
  | { readonly type: 'listen'; readonly listener: string; readonly fd: number; readonly addressIndex: number }
  | { readonly type: 'stop-listening'; readonly listener: string }
  | { readonly type: 'drain'; readonly inboundOnly: boolean; readonly graceful: boolean; readonly drainTimeMs: number }
  | { readonly type: 'log-level'; readonly level: string; readonly components: { readonly [component: string]: string } }
  | { readonly type: 'runtime'; readonly values: { readonly [key: string]: string | number | boolean } }
  | { readonly type: 'host-ejected'; readonly cluster: string; readonly slot: number }
  /** What its checks have found; bits of upstream/health/health-flags.ts. */
  | { readonly type: 'host-health'; readonly cluster: string; readonly slot: number; readonly flags: number }
  | { readonly type: 'host-returned'; readonly cluster: string; readonly slot: number }
  | { readonly type: 'reopen-logs' | 'flush-logs' }
  | { readonly type: 'shutdown' }
  /** Answered by `done` with the same id, after everything before it was handled. */
  | { readonly type: 'barrier'; readonly id: number };

/** What a worker hears at once, whatever waits in its inbox. */
export type UrgentMessage =
  /** Its inbox may hold something. */
  | { readonly type: 'wake' }
  /** An accepted socket from a busier worker. */
  | { readonly type: 'adopt'; readonly listener: string; readonly socket: unknown };

export type WorkerToMain =
  | { readonly type: 'ready' }
  | { readonly type: 'stats-block'; readonly block: number; readonly cells: Float64Array<SharedArrayBuffer> }
  | { readonly type: 'stats'; readonly registrations: readonly StatRegistration[] }
  | { readonly type: 'stats-removed'; readonly metrics: readonly (readonly [kind: StatKind, name: string])[] }
  /** A family of names is to be shown, counted or not; or no longer. */
  | { readonly type: 'stats-declared'; readonly scope: string; readonly family: StatFamilyName; readonly exists: boolean }
  | { readonly type: 'done'; readonly id: number }
  /** Hosts of an original destination cluster live on the worker that made them; admin shows them. */
  | { readonly type: 'dynamic-hosts'; readonly cluster: string; readonly addresses: readonly string[] }
  | { readonly type: 'hand-over'; readonly listener: string; readonly socket: unknown; readonly to: number }
  | { readonly type: 'host-result'; readonly cluster: string; readonly slot: number; readonly result: string }
  | { readonly type: 'host-health'; readonly cluster: string; readonly slot: number; readonly flags: number }
  /** Every host of the cluster that is checked has been. */
  | { readonly type: 'hosts-checked'; readonly cluster: string }
  | { readonly type: 'fatal'; readonly error: string };

export type { HostSetModel };
