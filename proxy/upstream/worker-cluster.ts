/** One cluster on one worker: hosts by priority and locality, the balancer over them, limits and counters. */
import { type Address, formatAddress } from '../config/model/address.ts';
import type { ClusterModel, HostModel, HostSetModel } from '../config/model/cluster.ts';
import type { FilterModel } from '../config/model/listener.ts';
import type { ClientCodec, ClientConnectionCallbacks } from '../http/codec.ts';
import { Http2CodecStats } from '../http/h2/codec-stats.ts';
import type { Http2Options } from '../http/h2/options.ts';
import type { Connection } from '../network/connection.ts';
import type { NetworkFilterFactory } from '../network/filter.ts';
import type { StatsStore } from '../telemetry/stats-store.ts';
import type { TimerWheel } from '../../common/timer-wheel.ts';
import type { WorkerToMain } from '../workers/messages.ts';
import { HealthChecker } from './health/health-checker.ts';
import { arrangeHosts, type Locality, noLocality } from './host-arrangement.ts';
import type { Cluster, LoadBalancerContext, OverrideHost } from './cluster-manager.ts';
import { WorkerClusterStats } from './cluster-stats.ts';
import type { BalancedHost, BalancedPriority } from './load-balancer/balanced-host.ts';
import { ClusterBalancer } from './load-balancer/cluster-balancer.ts';
import { OriginalDestinationHosts } from './original-destination.ts';
import type { Connector, Http1CodecFactory, Http2CodecFactory } from './pool/connector.ts';
import { SharedResourceManager } from './resource-manager.ts';
import type { ClusterCounters, HostCounters } from './shared-counters.ts';
import { WorkerHost } from './worker-host.ts';

/** What clusters of one worker share. */
export interface UpstreamServices {
  readonly workerIndex: number;
  readonly stats: StatsStore;
  readonly timers: TimerWheel;
  readonly hostCounters: HostCounters;
  readonly clusterCounters: ClusterCounters;
  readonly connect: Connector;
  readonly createHttp1Codec: Http1CodecFactory;
  readonly createHttp2Codec: Http2CodecFactory;
  /** Upstream network filters of a cluster, by the worker's manifest. */
  readonly buildNetworkFilters: (models: readonly FilterModel[]) => readonly NetworkFilterFactory[];
  readonly report: (message: WorkerToMain) => void;
  /** Where this proxy runs. */
  readonly locality: Locality;
  /** Hosts of the local cluster, the proxies themselves; null: the bootstrap names none. */
  readonly localCluster: () => BalancedPriority<BalancedHost> | null;
  /** In [0, 1). */
  readonly random: () => number;
}

const defaultOverrideStatus: readonly HostModel['health'][] = ['unknown', 'healthy', 'degraded'];
const defaultOverprovisioningFactor = 140;
/** Of responses over HTTP/2; Envoy's default. */
const maxHeadersBytes = 60 * 1024;

export class WorkerCluster implements Cluster {
  readonly name: string;
  readonly model: ClusterModel;
  readonly services: UpstreamServices;
  readonly resources: SharedResourceManager;
  readonly #originalDestination: OriginalDestinationHosts | null;
  #networkFilters: readonly NetworkFilterFactory[] | null = null;
  /** As last set; null before. */
  hostSet: HostSetModel | null = null;
  #checker: HealthChecker | null = null;
  #stats: WorkerClusterStats | null = null;
  #http2Options: Http2Options | null = null;
  /** By `ip:port` or path. */
  #hosts = new Map<string, WorkerHost>();
  #priorities = arrangeHosts<WorkerHost>([], noLocality);
  #overprovisioningFactor = defaultOverprovisioningFactor;
  #balancer: ClusterBalancer<WorkerHost> | null = null;

  constructor(model: ClusterModel, row: number, services: UpstreamServices) {
    this.name = model.name;
    this.model = model;
    this.services = services;
    this.resources = new SharedResourceManager(model.circuitBreakers, services.clusterCounters, row, services.workerIndex);
    this.#originalDestination = model.discovery.kind === 'original-dst' ? new OriginalDestinationHosts(this) : null;
  }

  get stats(): WorkerClusterStats {
    this.#stats ??= new WorkerClusterStats(this.services.stats, this.model.statName);
    return this.#stats;
  }

  /** Factories of the upstream network filters, made when the first connection needs them. */
  get networkFilters(): readonly NetworkFilterFactory[] {
    this.#networkFilters ??= this.services.buildNetworkFilters(this.model.filters);
    return this.#networkFilters;
  }

  createHttp1Codec(connection: Connection, callbacks: ClientConnectionCallbacks): ClientCodec {
    return this.services.createHttp1Codec(connection, this.model.protocol, callbacks);
  }

  createHttp2Codec(connection: Connection, callbacks: ClientConnectionCallbacks): ClientCodec {
    return this.services.createHttp2Codec(connection, this.#shareHttp2Options(), callbacks);
  }

  /** Counts a connection from its beginning, and brings the statistics of its codec. */
  countConnection(kind: 'http1' | 'http2'): void {
    if (kind === 'http1') {
      this.stats.countHttp1Connection();
      return;
    }
    this.stats.cxHttp2Total.inc();
    this.#shareHttp2Options().stats.upstreamConnections.inc();
  }

  #shareHttp2Options(): Http2Options {
    const { stats, timers } = this.services;
    this.#http2Options ??= {
      protocol: this.model.protocol.http2,
      maxHeadersBytes: this.model.protocol.maxResponseHeadersBytes ?? maxHeadersBytes,
      maxHeadersCount: this.model.protocol.maxHeadersCount,
      headersWithUnderscores: 'allow',
      stats: new Http2CodecStats(stats, `cluster.${this.model.statName}.http2.`),
      timers,
    };
    return this.#http2Options;
  }

  /** Null if no host can serve. */
  chooseHost(context: LoadBalancerContext): WorkerHost | null {
    if (this.#originalDestination !== null) return this.#originalDestination.choose(context);
    if (context.overrideHost !== null) {
      const asked = this.#findOverrideHost(context.overrideHost);
      if (asked !== null) return asked;
      if (context.overrideHost.strict) {
        this.stats.countNoneHealthy();
        return null;
      }
    }
    const host = (this.#balancer ?? this.#makeBalancer()).choose(context);
    if (host === null) this.stats.countNoneHealthy();
    return host;
  }

  /** Null if it is gone, or not in a state that overrides may choose. */
  #findOverrideHost({ address }: OverrideHost): WorkerHost | null {
    const host = this.#hosts.get(address);
    const { overrideHostStatus = defaultOverrideStatus } = this.model.loadBalancer;
    return host !== undefined && overrideHostStatus.includes(host.status) ? host : null;
  }

  /** Replaces the hosts. One that stays keeps its pools and its load; one that leaves finishes what it carries. */
  setHosts(set: HostSetModel): void {
    const hosts = new Map<string, WorkerHost>();
    const placed = set.localities.map(({ hosts: models, region, zone, subZone, priority, weight }) => {
      const placement = { locality: { region, zone, subZone }, priority };
      const members = models.map(model => {
        const key = formatAddress(model.address);
        const known = this.#hosts.get(key);
        const host = known?.update(model, placement) ? known : new WorkerHost(this, model, placement);
        hosts.set(key, host);
        return host;
      });
      return { ...placement, weight, hosts: members };
    });
    for (const [key, host] of this.#hosts) if (hosts.get(key) !== host) host.retirePools();
    this.hostSet = set;
    this.#hosts = hosts;
    this.#priorities = arrangeHosts(placed, this.services.locality);
    this.#overprovisioningFactor = set.overprovisioningFactor || defaultOverprovisioningFactor;
    this.rebalance();
  }

  /** What the balancer has computed does not hold any more. */
  rebalance(): void {
    this.#balancer = null;
  }

  /** The hosts of priority 0. */
  get firstPriority(): BalancedPriority<BalancedHost> {
    return this.#priorities[0];
  }

  setHealth(slot: number, flags: number): void {
    for (const host of this.#hosts.values()) {
      if (host.slot !== slot) continue;
      if (host.setHealthFlags(flags)) host.retirePools();
      this.rebalance();
    }
  }

  /** Begins to check the hosts, or goes on with those that there are now. For one worker only. */
  checkHosts(): void {
    const { healthCheck } = this.model;
    if (healthCheck === undefined) return;
    this.#checker ??= new HealthChecker(this, healthCheck);
    this.#checker.setHosts(this.#hosts.values());
  }

  setEjected(slot: number, ejected: boolean): void {
    for (const host of this.#hosts.values()) {
      if (host.slot !== slot) continue;
      host.setEjected(ejected);
      // Its connections may be what is wrong.
      if (ejected) host.retirePools();
      this.rebalance();
    }
  }

  /** The cluster was removed or replaced, or one of its secrets changed. */
  retirePools(): void {
    for (const host of this.#hosts.values()) host.retirePools();
    this.#originalDestination?.retirePools();
  }

  /** Stops timers; the cluster is no longer found, streams in flight finish. */
  destroy(): void {
    this.retirePools();
    this.#checker?.stop();
    this.#originalDestination?.stop();
  }

  /** The configured source address of the family of `target`, port 0. */
  findBindAddress(target: Address): Address | null {
    if (target.kind !== 'socket' || this.model.bindAddresses.length === 0) return null;
    const isV6 = target.address.includes(':');
    const address = this.model.bindAddresses.find(candidate => candidate.includes(':') === isV6);
    return address === undefined ? null : { kind: 'socket', address, port: 0 };
  }

  #makeBalancer(): ClusterBalancer<WorkerHost> {
    const { random, timers, localCluster } = this.services;
    this.#balancer = new ClusterBalancer(this.#priorities, {
      model: this.model.loadBalancer,
      overprovisioningFactor: this.#overprovisioningFactor,
      clock: { random, now: () => timers.now() },
      onEvent: event => this.stats.countBalancerEvent(event),
      clusterActiveRequests: () => this.resources.activeRequests,
      localCluster: localCluster(),
    });
    return this.#balancer;
  }
}
