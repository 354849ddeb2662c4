/**
 * Hosts of an original destination cluster: made from the address the client wanted, when it is wanted, and forgotten when a
 * cleanup interval passes without use.
 *
 * Source: Envoy's ORIGINAL_DST cluster.
 */
import { Timer } from '../../common/timer-wheel.ts';
import { formatAddress } from '../config/model/address.ts';
import type { Address, SocketAddress } from '../config/model/address.ts';
import type { ClusterModel } from '../config/model/cluster.ts';
import { internHeaderName } from '../http/header-name.ts';
import { parseAddressText } from '../network/socket-address.ts';
import type { LoadBalancerContext } from './cluster-manager.ts';
import type { WorkerCluster } from './worker-cluster.ts';
import { WorkerHost } from './worker-host.ts';

/** How long changes are collected before the main thread is told. */
const reportDelayMs = 500;
const noPlacement = { locality: { region: '', zone: '', subZone: '' }, priority: 0 } as const;

const destinationKey = 'envoy.network.transport_socket.original_dst_address';

type OriginalDst = Extract<ClusterModel['discovery'], { kind: 'original-dst' }>;

interface Entry {
  readonly host: WorkerHost;
  isUsed: boolean;
}

export class OriginalDestinationHosts {
  readonly #cluster: WorkerCluster;
  readonly #header: string;
  readonly #metadataKey: OriginalDst['metadataKey'];
  readonly #portOverride: number;
  readonly #cleanupIntervalMs: number;
  readonly #hosts = new Map<string, Entry>();
  readonly #cleanup = new Timer(() => this.#removeUnused());
  readonly #report = new Timer(() => this.#reportHosts());

  constructor(cluster: WorkerCluster) {
    const { discovery } = cluster.model;
    if (discovery.kind !== 'original-dst') throw new Error('not an original destination cluster');
    this.#cluster = cluster;
    this.#header = internHeaderName(discovery.useHttpHeader);
    this.#metadataKey = discovery.metadataKey;
    this.#portOverride = discovery.portOverride;
    this.#cleanupIntervalMs = discovery.cleanupIntervalMs;
  }

  choose(context: LoadBalancerContext): WorkerHost | null {
    const address =
      readFilterState(context) ?? this.#readMetadata(context) ?? this.#readHeader(context) ?? readDestination(context);
    if (address === null) {
      this.#cluster.stats.countNoneHealthy();
      return null;
    }
    const port = this.#portOverride === 0 ? address.port : this.#portOverride;
    const key = `${address.address} ${port}`;
    let entry = this.#hosts.get(key);
    if (entry === undefined) {
      entry = { host: this.#makeHost({ kind: 'socket', address: address.address, port }), isUsed: true };
      this.#hosts.set(key, entry);
      this.#onChanged();
    }
    entry.isUsed = true;
    return entry.host;
  }

  retirePools(): void {
    for (const { host } of this.#hosts.values()) host.retirePools();
  }

  stop(): void {
    this.#cluster.services.timers.cancel(this.#cleanup);
    this.#cluster.services.timers.cancel(this.#report);
  }

  #makeHost(address: Address): WorkerHost {
    const hostname = this.#cluster.name + formatAddress(address);
    const model = { address, additionalAddresses: [], hostname, weight: 1, health: 'healthy', metadata: {}, slot: -1 } as const;
    return new WorkerHost(this.#cluster, model, noPlacement);
  }

  #readHeader(context: LoadBalancerContext): SocketAddress | null {
    if (this.#header === '' || context.headers === null) return null;
    const value = context.headers.get(this.#header);
    return value === undefined ? null : this.#parse(value);
  }

  /** Of the request, else of its connection. */
  #readMetadata({ info, downstream }: LoadBalancerContext): SocketAddress | null {
    const key = this.#metadataKey;
    if (key === undefined) return null;
    for (const metadata of [info?.dynamicMetadata, downstream?.passthrough?.metadata]) {
      const value = key.path.reduce(readMember, metadata?.[key.namespace] as unknown);
      const first = Array.isArray(value) ? value[0] : value;
      if (typeof first === 'string') return this.#parse(first);
    }
    return null;
  }

  #parse(text: string): SocketAddress | null {
    const address = parseAddressText(text);
    if (address === null) this.#cluster.stats.originalDstHostInvalid.inc();
    return address;
  }

  #onChanged(): void {
    const { timers } = this.#cluster.services;
    if (!this.#cleanup.armed) timers.arm(this.#cleanup, this.#cleanupIntervalMs);
    if (!this.#report.armed) timers.arm(this.#report, reportDelayMs);
  }

  /** A host with a connection stays: its connections would be lost to accounting. */
  #removeUnused(): void {
    for (const [key, entry] of this.#hosts) {
      if (!entry.isUsed && !entry.host.hasConnections) {
        this.#hosts.delete(key);
        entry.host.retirePools();
      }
      entry.isUsed = false;
    }
    if (this.#hosts.size > 0) this.#cluster.services.timers.arm(this.#cleanup, this.#cleanupIntervalMs);
    this.#reportHosts();
  }

  #reportHosts(): void {
    const addresses = Array.from(this.#hosts.values(), ({ host }) => host.addressText);
    this.#cluster.services.report({ type: 'dynamic-hosts', cluster: this.#cluster.name, addresses });
  }
}

function readMember(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? (value as { readonly [key: string]: unknown })[key] : undefined;
}

/** Filter state that names the destination comes before everything else. */
function readFilterState({ info }: LoadBalancerContext): SocketAddress | null {
  const value = info?.getFilterState(destinationKey);
  return typeof value === 'string' ? parseAddressText(value) : null;
}

/** Only an address that was restored is one the client wanted; the listener's own would loop. */
function readDestination(context: LoadBalancerContext): SocketAddress | null {
  const { downstream } = context;
  if (downstream === null || !downstream.localAddressRestored) return null;
  return downstream.localAddress.kind === 'socket' ? downstream.localAddress : null;
}
