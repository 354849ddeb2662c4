/** Peer metadata over HTTP headers: tells the upstream who calls and the downstream who answered, and reads what they tell. */
import type { ClusterModel } from '../../../../config/model/cluster.ts';
import type {
  FilterFactoryContext,
  HttpFilter,
  HttpFilterCallbacks,
  HttpFilterFactory,
  RouteMatchView,
} from '../../../../http/filter.ts';
import { HookStatus } from '../../../../http/filter.ts';
import type { HeaderMap } from '../../../../http/header-map.ts';
import type { WorkloadMetadata } from '../../../../telemetry/peer-metadata.ts';
import {
  decodeMetadataHeader,
  downstreamPeerKey,
  encodeMetadataHeader,
  peerMetadataHeader,
  peerMetadataIdHeader,
  peerObjectSuffix,
  toCelPeer,
  upstreamPeerKey,
} from '../../../../telemetry/peer-metadata.ts';
import type { PlainStruct } from '../../../../telemetry/struct-codec.ts';

export interface PropagationModel {
  readonly skipExternalClusters: boolean;
}

/** True and not null mean: by Istio's headers, the only method that does something here. */
export interface PeerMetadataModel {
  readonly downstreamDiscovery: boolean;
  readonly upstreamDiscovery: boolean;
  readonly downstreamPropagation: PropagationModel | null;
  readonly upstreamPropagation: PropagationModel | null;
  readonly additionalLabels: readonly string[];
}

/** Peers remembered by id. */
const maxCachedPeers = 500;

interface Peer {
  readonly workload: WorkloadMetadata;
  readonly cel: PlainStruct;
}

/** What all streams of a filter share. */
class PeerMetadataConfig {
  readonly model: PeerMetadataModel;
  readonly id: string;
  readonly metadata: string;
  readonly #context: FilterFactoryContext;
  readonly #peers = new Map<string, Peer>();
  readonly #skips = new WeakMap<ClusterModel, boolean>();

  constructor(model: PeerMetadataModel, context: FilterFactoryContext) {
    this.model = model;
    this.#context = context;
    this.id = context.node.id;
    this.metadata = encodeMetadataHeader(context.node, model.additionalLabels);
  }

  /** The peer that headers tell of, or null. */
  readPeer(headers: HeaderMap): Peer | null {
    const value = headers.get(peerMetadataHeader);
    if (value === undefined || value === '') return null;
    const id = headers.get(peerMetadataIdHeader) ?? '';
    const cached = id === '' ? undefined : this.#peers.get(id);
    if (cached !== undefined) return cached;
    const workload = decodeMetadataHeader(value, this.model.additionalLabels);
    if (workload === null) return null;
    const peer = { workload, cel: toCelPeer(workload) };
    if (id !== '') {
      if (this.#peers.size >= maxCachedPeers) this.#peers.delete(this.#peers.keys().next().value as string);
      this.#peers.set(id, peer);
    }
    return peer;
  }

  /** Whether the cluster of a route must not be told. */
  skipsRoute(route: RouteMatchView | null, propagation: PropagationModel): boolean {
    const name = clusterNameOf(route);
    const cluster = name === null ? null : this.#context.services.clusters.find(name);
    return cluster !== null && this.skipsCluster(cluster.model, propagation);
  }

  skipsCluster(model: ClusterModel, { skipExternalClusters }: PropagationModel): boolean {
    let skips = this.#skips.get(model);
    if (skips === undefined) {
      const istio = model.metadata.istio;
      const isExternal = model.name === 'PassthroughCluster' || istio?.external === true;
      skips = (skipExternalClusters && isExternal) || istio?.disable_mx === true;
      this.#skips.set(model, skips);
    }
    return skips;
  }
}

/** The cluster a matched route leads to; null if it does not forward. */
function clusterNameOf(route: RouteMatchView | null): string | null {
  const action = (route?.compiled as { action?: { clusterName?: unknown } } | undefined)?.action;
  return typeof action?.clusterName === 'string' ? action.clusterName : null;
}

class PeerMetadataFilter implements HttpFilter {
  readonly #config: PeerMetadataConfig;
  readonly #callbacks: HttpFilterCallbacks;
  #idReceived = false;
  #metadataReceived = false;

  constructor(config: PeerMetadataConfig, callbacks: HttpFilterCallbacks) {
    this.#config = config;
    this.#callbacks = callbacks;
  }

  onRequestHeaders(headers: HeaderMap): HookStatus {
    const { model } = this.#config;
    if (model.downstreamDiscovery) {
      this.#idReceived = headers.has(peerMetadataIdHeader);
      this.#metadataReceived = headers.has(peerMetadataHeader);
      this.#discover(headers, downstreamPeerKey);
    }
    const propagation = model.upstreamPropagation;
    if (propagation !== null && !this.#config.skipsRoute(this.#callbacks.route, propagation)) {
      headers.set(peerMetadataIdHeader, this.#config.id);
      headers.set(peerMetadataHeader, this.#config.metadata);
    }
    return HookStatus.continue;
  }

  onResponseHeaders(headers: HeaderMap): HookStatus {
    const { model } = this.#config;
    if (model.upstreamDiscovery) this.#discover(headers, upstreamPeerKey);
    const propagation = model.downstreamPropagation;
    if (propagation !== null && (this.#idReceived || this.#metadataReceived)) {
      const cluster = this.#callbacks.streamInfo.cluster?.model;
      if (cluster === undefined || !this.#config.skipsCluster(cluster, propagation)) {
        if (this.#idReceived) headers.set(peerMetadataIdHeader, this.#config.id);
        if (this.#metadataReceived) headers.set(peerMetadataHeader, this.#config.metadata);
      }
    }
    return HookStatus.continue;
  }

  #discover(headers: HeaderMap, key: string): void {
    const peer = this.#config.readPeer(headers);
    headers.remove(peerMetadataIdHeader);
    headers.remove(peerMetadataHeader);
    const { streamInfo } = this.#callbacks;
    if (peer === null || streamInfo.getFilterState(key) !== undefined) return;
    streamInfo.setFilterState(key, peer.cel);
    streamInfo.setFilterState(`${key}${peerObjectSuffix}`, peer.workload);
  }
}

export function createPeerMetadataFilter(model: PeerMetadataModel, context: FilterFactoryContext): HttpFilterFactory {
  const config = new PeerMetadataConfig(model, context);
  return callbacks => new PeerMetadataFilter(config, callbacks);
}
