/**
 * The labels of Istio's metrics that tell who talks to whom.
 *
 * Source: Istio's standard metrics and its istio.stats filter, order included.
 */
import type { NodeModel } from '../../http/filter.ts';
import type { ClusterModel } from '../../config/model/cluster.ts';
import type { WorkloadMetadata } from '../peer-metadata.ts';
import {
  decodeEndpointWorkload,
  downstreamPeerKey,
  peerObjectSuffix,
  toWorkloadMetadata,
  upstreamPeerKey,
} from '../peer-metadata.ts';
import type { Tag } from '../stats-store.ts';
import type { StreamInfo } from '../stream-info.ts';

export type Reporter = 'source' | 'destination' | 'waypoint';

const upstreamPeerObject = `${upstreamPeerKey}${peerObjectSuffix}`;
const downstreamPeerObject = `${downstreamPeerKey}${peerObjectSuffix}`;

/** The destination service that a cluster stands for; empty strings where its metadata does not say. */
interface ClusterService {
  readonly host: string;
  readonly name: string;
  readonly namespace: string;
  /** One of Istio's clusters for traffic without a service: its name is the service's. */
  readonly isSpecial: boolean;
}

const specialClusters: ReadonlySet<string> = new Set([
  'BlackHoleCluster',
  'PassthroughCluster',
  'InboundPassthroughCluster',
  'InboundPassthroughClusterIpv4',
  'InboundPassthroughClusterIpv6',
]);
const specialRoutes: { readonly [name: string]: string | undefined } = {
  block_all: 'BlackHoleCluster',
  allow_any: 'PassthroughCluster',
};

const noService: ClusterService = { host: '', name: '', namespace: '', isSpecial: false };
const services = new WeakMap<ClusterModel, ClusterService>();

function readService(model: ClusterModel): ClusterService {
  if (specialClusters.has(model.name)) return { ...noService, name: model.name, isSpecial: true };
  const list = model.metadata.istio?.services;
  const service = Array.isArray(list) ? (list[0] as { [key: string]: unknown } | undefined) : undefined;
  if (typeof service !== 'object' || service === null) return noService;
  const text = (key: string) => (typeof service[key] === 'string' ? (service[key] as string) : '');
  const host = text('host');
  return { host, name: 'name' in service ? text('name') : host.split('.')[0], namespace: text('namespace'), isSpecial: false };
}

function serviceOf(info: StreamInfo): ClusterService {
  const model = info.cluster?.model;
  if (model === undefined) return noService;
  let service = services.get(model);
  if (service === undefined) {
    service = readService(model);
    services.set(model, service);
  }
  return service;
}

/** Everything that the labels depend on; two streams with equal fields have equal labels. */
export interface LabelInput {
  readonly peer: WorkloadMetadata | null;
  /** `istio.workload` of the upstream endpoint, where there is no peer. */
  readonly endpointWorkload: string;
  readonly service: ClusterService;
  /** Cluster that a special route stands for. */
  readonly specialRoute: string;
  /** The Host header, where it decides. */
  readonly host: string;
  readonly peerSan: string;
  readonly localSan: string;
  /** For waypoints: the workload behind. */
  readonly endpointPeer: WorkloadMetadata | null;
}

function endpointWorkloadOf(info: StreamInfo): string {
  const workload = info.upstreamHost?.metadata.istio?.workload;
  return typeof workload === 'string' ? workload : '';
}

/** The host header counts where the cluster does not name its service, and the configuration allows it. */
export function readLabelInput(reporter: Reporter, info: StreamInfo, hostHeader: string): LabelInput {
  const service = serviceOf(info);
  const isSource = reporter === 'source';
  const peer =
    (info.getFilterState(isSource ? upstreamPeerObject : downstreamPeerObject) as WorkloadMetadata | undefined) ?? null;
  const tls = isSource ? info.upstreamConnection?.tls : info.downstream.tls;
  let peerSan = '';
  let localSan = '';
  if (!isSource) {
    peerSan = stringState(info, 'io.istio.peer_principal');
    localSan = stringState(info, 'io.istio.local_principal');
  }
  if (tls && peerSan === '' && localSan === '') {
    peerSan = tls.peer?.uriSans[0] ?? '';
    localSan = tls.local?.uriSans[0] ?? '';
  }
  return {
    peer,
    endpointWorkload: isSource && peer === null ? endpointWorkloadOf(info) : '',
    service,
    specialRoute: specialRoutes[info.routeName] ?? '',
    host: service.host === '' ? hostHeader : '',
    peerSan,
    localSan,
    endpointPeer:
      reporter === 'waypoint' ? ((info.getFilterState(upstreamPeerObject) as WorkloadMetadata | undefined) ?? null) : null,
  };
}

function stringState(info: StreamInfo, key: string): string {
  const value = info.getFilterState(key);
  return typeof value === 'string' ? value : '';
}

export function isSameInput(a: LabelInput, b: LabelInput): boolean {
  return (
    a.peer === b.peer &&
    a.service === b.service &&
    a.host === b.host &&
    a.peerSan === b.peerSan &&
    a.localSan === b.localSan &&
    a.specialRoute === b.specialRoute &&
    a.endpointWorkload === b.endpointWorkload &&
    a.endpointPeer === b.endpointPeer
  );
}

/** `spiffe://<trust domain>/ns/<namespace>/sa/...`. */
function namespaceOf(san: string): string {
  const begin = san.indexOf('/ns/');
  if (begin === -1) return '';
  const end = san.indexOf('/', begin + 4);
  return end === -1 ? san.slice(begin + 4) : san.slice(begin + 4, end);
}

/** This proxy's workload, as in its own labels: absent fields stay empty. */
export interface OwnWorkload extends WorkloadMetadata {}

export function readOwnWorkload(node: NodeModel): OwnWorkload {
  const own = toWorkloadMetadata(node.metadata, []);
  const labels = (node.metadata.LABELS ?? {}) as { readonly [name: string]: unknown };
  const text = (name: string) => (typeof labels[name] === 'string' ? (labels[name] as string) : '');
  return { ...own, app: text('app'), version: text('version') };
}

const unknown = 'unknown';
const latest = 'latest';

/** `reporter` to `destination_cluster`. */
export function computeLabels(reporter: Reporter, own: OwnWorkload, input: LabelInput): readonly Tag[] {
  const peer = input.peer ?? (input.endpointWorkload === '' ? null : decodeEndpointWorkload(input.endpointWorkload));
  const peerNamespace = namespaceOf(input.peerSan) || peer?.namespace || '';
  const serviceHost = input.service.host || input.host;
  const serviceName = input.specialRoute || input.service.name || (input.service.host === '' ? input.host : '');
  const context = { own, peer, input, peerNamespace, serviceHost, serviceName };
  const tags = reporter === 'source' ? sourceLabels(context) : destinationLabels(context, reporter);
  return [['reporter', reporter], ...tags];
}

interface LabelContext {
  readonly own: OwnWorkload;
  readonly peer: WorkloadMetadata | null;
  readonly input: LabelInput;
  readonly peerNamespace: string;
  readonly serviceHost: string;
  readonly serviceName: string;
}

function sourceLabels({ own, peer, input, peerNamespace, serviceHost, serviceName }: LabelContext): Tag[] {
  return [
    ['source_workload', own.workload],
    ['source_canonical_service', own.canonicalName],
    ['source_canonical_revision', own.canonicalRevision],
    ['source_workload_namespace', own.namespace],
    ['source_principal', input.localSan || unknown],
    ['source_app', own.app],
    ['source_version', own.version],
    ['source_cluster', own.cluster],
    ['destination_workload', peer?.workload || unknown],
    ['destination_workload_namespace', peerNamespace || unknown],
    ['destination_principal', input.peerSan || peer?.identity || unknown],
    ['destination_app', peer?.app || unknown],
    ['destination_version', peer?.version || unknown],
    ['destination_service', serviceHost || unknown],
    ['destination_canonical_service', peer?.canonicalName || unknown],
    ['destination_canonical_revision', peer?.canonicalRevision || latest],
    ['destination_service_name', serviceName || unknown],
    ['destination_service_namespace', input.service.namespace || peerNamespace || unknown],
    ['destination_cluster', peer?.cluster || unknown],
  ];
}

function destinationLabels(context: LabelContext, reporter: 'destination' | 'waypoint'): Tag[] {
  const { own, peer, input, peerNamespace } = context;
  return [
    ['source_workload', peer?.workload || unknown],
    ['source_canonical_service', peer?.canonicalName || unknown],
    ['source_canonical_revision', peer?.canonicalRevision || latest],
    ['source_workload_namespace', peerNamespace || unknown],
    ['source_principal', input.peerSan || unknown],
    ['source_app', peer?.app || unknown],
    ['source_version', peer?.version || unknown],
    ['source_cluster', peer?.cluster || unknown],
    ...(reporter === 'waypoint' ? waypointLabels(context) : ownDestinationLabels(context)),
    ['destination_service_namespace', own.namespace],
    ['destination_cluster', own.cluster],
  ];
}

function ownDestinationLabels({ own, input, serviceHost, serviceName }: LabelContext): Tag[] {
  return [
    ['destination_workload', own.workload],
    ['destination_workload_namespace', own.namespace],
    ['destination_principal', input.localSan || unknown],
    ['destination_app', own.app],
    ['destination_version', own.version],
    ['destination_service', serviceHost || own.canonicalName],
    ['destination_canonical_service', own.canonicalName],
    ['destination_canonical_revision', own.canonicalRevision],
    ['destination_service_name', serviceName || own.canonicalName],
  ];
}

function waypointLabels({ input, serviceHost, serviceName }: LabelContext): Tag[] {
  const endpoint = input.endpointPeer;
  const canonicalName = endpoint === null ? unknown : endpoint.canonicalName;
  return [
    ['destination_workload', endpoint?.workload ?? unknown],
    ['destination_workload_namespace', endpoint?.namespace || unknown],
    ['destination_principal', endpoint?.identity ?? unknown],
    ['destination_app', endpoint?.app || unknown],
    ['destination_version', endpoint?.version ?? unknown],
    ['destination_service', serviceHost || canonicalName],
    ['destination_canonical_service', canonicalName],
    ['destination_canonical_revision', endpoint?.canonicalRevision ?? unknown],
    ['destination_service_name', serviceName || canonicalName],
  ];
}
