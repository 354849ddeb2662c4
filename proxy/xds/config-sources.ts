/** Opens what a config source names: the aggregated stream, a gRPC service of its own, or a file. */
import type { ConfigSourceModel, GrpcSourceModel } from '../config/model/bootstrap.ts';
import type { ClusterModel } from '../config/model/cluster.ts';
import type { SecretModel } from '../config/model/tls.ts';
import type { StatsStore } from '../telemetry/stats-store.ts';
import { type DiscoveryService, discoveryServices } from './discovery-services.ts';
import { ControlPlaneStats } from './discovery-stats.ts';
import { GrpcClusterStats } from './grpc-cluster-stats.ts';
import { DiscoveryStream, type NodeMessage } from './discovery-stream.ts';
import type { DiscoveryKind } from './discovery-types.ts';
import { FileSource, type FileSourceOptions } from './file-source.ts';
import { createGrpcTarget } from './grpc-target.ts';
import type { DiscoverySource } from './subscription.ts';

export interface ConfigSourcesOptions {
  readonly node: NodeMessage;
  readonly stats: StatsStore;
  readonly findCluster: (name: string) => ClusterModel | null;
  readonly findSecret: (key: string) => SecretModel | null;
  /** Reads a discovery response from a file by its extension. */
  readonly decodeFile: FileSourceOptions['decode'];
}

/** A source that can be closed. */
export type OpenSource = DiscoverySource & { stop(): void };

export class ConfigSources {
  readonly #options: ConfigSourcesOptions;
  readonly #clusterStats = new Map<string, GrpcClusterStats>();
  readonly #open = new Set<OpenSource>();
  #aggregated: OpenSource | null = null;
  /** Of the aggregated stream; null before it is opened. */
  controlPlane: ControlPlaneStats | null = null;

  constructor(options: ConfigSourcesOptions) {
    this.#options = options;
  }

  get aggregated(): DiscoverySource | null {
    return this.#aggregated;
  }

  /** @throws if its cluster is unknown or has no endpoint. */
  openAggregated(source: GrpcSourceModel): void {
    this.controlPlane = new ControlPlaneStats(this.#options.stats);
    this.#aggregated = this.openGrpc(source, discoveryServices.aggregated, this.controlPlane);
  }

  /** @throws if the aggregated stream is asked for and there is none, or its cluster is unknown. */
  open(source: ConfigSourceModel['source'], kind: DiscoveryKind): DiscoverySource {
    if (source.kind === 'grpc') return this.openGrpc(source, discoveryServices[kind], null);
    if (source.kind === 'path') return this.openFile(source.path, source.watchedDirectory);
    if (this.#aggregated === null) throw new Error(`${kind} discovery asks for ADS, and there is no ads_config`);
    return this.#aggregated;
  }

  openFile(path: string, watchedDirectory: string | null): OpenSource {
    return this.#track(new FileSource({ path, watchedDirectory, decode: this.#options.decodeFile }));
  }

  openGrpc(source: GrpcSourceModel, service: DiscoveryService, stats: ControlPlaneStats | null): OpenSource {
    const { node, findCluster, findSecret } = this.#options;
    const cluster = findCluster(source.cluster);
    if (cluster === null) throw new Error(`unknown gRPC cluster '${source.cluster}' of a config source`);
    const stream = new DiscoveryStream({
      target: createGrpcTarget(cluster, findSecret),
      service,
      protocol: source.protocol,
      node,
      nodeOnFirstMessageOnly: source.nodeOnFirstMessageOnly,
      metadata: source.initialMetadata,
      stats,
      clusterStats: this.#clusterStatsOf(cluster),
    });
    return this.#track(stream);
  }

  stop(): void {
    for (const source of [...this.#open]) source.stop();
  }

  #track(source: DiscoverySource & { stop(): void }): OpenSource {
    const tracked: OpenSource = {
      subscribe: request => source.subscribe(request),
      stop: () => {
        this.#open.delete(tracked);
        source.stop();
      },
    };
    this.#open.add(tracked);
    return tracked;
  }

  #clusterStatsOf({ statName, maxRequestsPerConnection }: ClusterModel): GrpcClusterStats {
    let stats = this.#clusterStats.get(statName);
    if (stats === undefined) {
      stats = new GrpcClusterStats(this.#options.stats, statName, maxRequestsPerConnection);
      this.#clusterStats.set(statName, stats);
    }
    return stats;
  }
}
