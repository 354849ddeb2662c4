/**
 * What sidecars tell each other about their workloads, in HTTP headers or at the start of a TCP connection, and the filter
 * state in which it is kept.
 *
 * Source: Istio's peer metadata filters.
 */
import type { NodeModel } from '../http/filter.ts';
import type { StreamInfo } from './stream-info.ts';
import type { PlainStruct } from './struct-codec.ts';
import { decodeAny, decodeStruct, encodeAny, encodeStruct, WireError } from './struct-codec.ts';

export const peerMetadataHeader = 'x-envoy-peer-metadata';
export const peerMetadataIdHeader = 'x-envoy-peer-metadata-id';

/** Filter state: the peer as CEL sees it, and as a WorkloadMetadata under the name with `_obj`. */
export const downstreamPeerKey = 'downstream_peer';
export const upstreamPeerKey = 'upstream_peer';
export const peerObjectSuffix = '_obj';
/** Filter state: asked, and the peer did not tell. One per side, as both may be kept with one stream. */
export const downstreamPeerNotFoundKey = 'peer_not_found';
export const upstreamPeerNotFoundKey = 'upstream_peer_not_found';

/** Whether it is settled who the peer of a side is, known or not. */
export function isPeerSettled(info: StreamInfo, side: 'downstream' | 'upstream'): boolean {
  const isUpstream = side === 'upstream';
  const peer = info.getFilterState(isUpstream ? upstreamPeerKey : downstreamPeerKey);
  return (peer ?? info.getFilterState(isUpstream ? upstreamPeerNotFoundKey : downstreamPeerNotFoundKey)) !== undefined;
}

const structTypeUrl = 'type.googleapis.com/google.protobuf.Struct';
const magic = 0x3d230467;
/** Magic and length. */
export const initialHeaderBytes = 8;
/**
 * Differs from Istio, which waits for as much as the peer announces: more than this is not metadata.
 */
const maxMetadataBytes = 1024 * 1024;

/** One workload; an empty string is an absent field. */
export interface WorkloadMetadata {
  readonly name: string;
  readonly cluster: string;
  readonly namespace: string;
  readonly workload: string;
  readonly canonicalName: string;
  readonly canonicalRevision: string;
  readonly app: string;
  readonly version: string;
  /** `pod`, `deployment`, `job`, `cronjob` or ''. */
  readonly type: string;
  readonly identity: string;
  readonly region: string;
  readonly zone: string;
  /** The additional labels that are configured. */
  readonly labels: { readonly [name: string]: string };
}

const workloadTypes = new Set(['pod', 'deployment', 'job', 'cronjob']);
const ownerPrefix = 'kubernetes://apis/apps/v1/namespaces/';

function textOf(struct: { readonly [key: string]: unknown }, key: string): string {
  const value = struct[key];
  return typeof value === 'string' ? value : '';
}

function parseWorkloadType(owner: string, workload: string): string {
  if (owner.length <= workload.length + 2) return '';
  // What is left of `s/<workload>`.
  const kind = owner
    .slice(0, owner.length - workload.length - 2)
    .split('/')
    .pop() as string;
  return workloadTypes.has(kind) ? kind : '';
}

/** A workload from node metadata or from what a peer sent. */
export function toWorkloadMetadata(
  metadata: { readonly [key: string]: unknown },
  additionalLabels: readonly string[],
): WorkloadMetadata {
  const labels = (typeof metadata.LABELS === 'object' && metadata.LABELS !== null ? metadata.LABELS : {}) as PlainStruct;
  const workload = textOf(metadata, 'WORKLOAD_NAME');
  return {
    name: textOf(metadata, 'NAME'),
    cluster: textOf(metadata, 'CLUSTER_ID'),
    namespace: textOf(metadata, 'NAMESPACE'),
    workload,
    canonicalName: textOf(labels, 'service.istio.io/canonical-name'),
    canonicalRevision: textOf(labels, 'service.istio.io/canonical-revision'),
    app: textOf(labels, 'app.kubernetes.io/name') || textOf(labels, 'app'),
    version: textOf(labels, 'app.kubernetes.io/version') || textOf(labels, 'version'),
    type: parseWorkloadType(textOf(metadata, 'OWNER'), workload),
    identity: textOf(metadata, 'IDENTITY'),
    region: textOf(metadata, 'REGION'),
    zone: textOf(metadata, 'AVAILABILITY_ZONE'),
    labels: pickLabels(labels, additionalLabels),
  };
}

function pickLabels(labels: PlainStruct, names: readonly string[]): { readonly [name: string]: string } {
  return Object.fromEntries(names.map(name => [name, textOf(labels, name)]).filter(([, value]) => value !== ''));
}

function dropEmpty(fields: { readonly [key: string]: string }): { [key: string]: string } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ''));
}

/** The workload as it travels. */
export function toMetadataStruct(workload: WorkloadMetadata): PlainStruct {
  const owner = workload.type === '' ? '' : `${ownerPrefix}${workload.namespace}/${workload.type}s/${workload.workload}`;
  return {
    ...dropEmpty({
      NAME: workload.name,
      NAMESPACE: workload.namespace,
      WORKLOAD_NAME: workload.workload,
      CLUSTER_ID: workload.cluster,
      IDENTITY: workload.identity,
      REGION: workload.region,
      AVAILABILITY_ZONE: workload.zone,
      OWNER: owner,
    }),
    LABELS: {
      ...dropEmpty({
        'service.istio.io/canonical-name': workload.canonicalName,
        'service.istio.io/canonical-revision': workload.canonicalRevision,
        app: workload.app,
        version: workload.version,
      }),
      ...workload.labels,
    },
  };
}

/** The workload as expressions see it. */
export function toCelPeer(workload: WorkloadMetadata): PlainStruct {
  const fields = dropEmpty({
    type: workload.type,
    workload: workload.workload,
    name: workload.name,
    cluster: workload.cluster,
    namespace: workload.namespace,
    service: workload.canonicalName,
    revision: workload.canonicalRevision,
    app: workload.app,
    version: workload.version,
    identity: workload.identity,
    region: workload.region,
    availability_zone: workload.zone,
  });
  return Object.keys(workload.labels).length === 0 ? fields : { ...fields, labels: workload.labels };
}

/** The value of the metadata header for this node. */
export function encodeMetadataHeader(node: NodeModel, additionalLabels: readonly string[]): string {
  return encodeStruct(toMetadataStruct(toWorkloadMetadata(node.metadata, additionalLabels))).toString('base64');
}

/** A peer from its metadata header, or null if it is not valid. */
export function decodeMetadataHeader(value: string, additionalLabels: readonly string[]): WorkloadMetadata | null {
  try {
    return toWorkloadMetadata(decodeStruct(Buffer.from(value, 'base64')), additionalLabels);
  } catch (error) {
    if (error instanceof WireError) return null;
    throw error;
  }
}

/** What is sent at the start of a TCP connection: magic, length, and an Any with id and metadata. */
export function encodeInitialMessage(node: NodeModel, additionalLabels: readonly string[]): Buffer {
  const struct: { [key: string]: PlainStruct | string } = {
    [peerMetadataHeader]: toMetadataStruct(toWorkloadMetadata(node.metadata, additionalLabels)),
  };
  if (node.id !== '') struct[peerMetadataIdHeader] = node.id;
  const any = encodeAny(structTypeUrl, encodeStruct(struct));
  const header = Buffer.alloc(initialHeaderBytes);
  header.writeUInt32BE(magic, 0);
  header.writeUInt32BE(any.length, 4);
  return Buffer.concat([header, any]);
}

/** The length that an initial header announces, or null if it is none. `header` holds at least 8 bytes. */
export function readInitialHeader(header: Buffer): number | null {
  if (header.readUInt32BE(0) !== magic) return null;
  const length = header.readUInt32BE(4);
  return length > maxMetadataBytes ? null : length;
}

/** The struct in an initial message's Any; empty if it holds something else, null if it cannot be decoded at all. */
export function decodeInitialMessage(bytes: Buffer): PlainStruct | null {
  try {
    const { typeUrl, value } = decodeAny(bytes);
    return typeUrl === structTypeUrl ? decodeStruct(value) : {};
  } catch (error) {
    if (error instanceof WireError) return null;
    throw error;
  }
}

/** `workload;namespace;canonical name;canonical revision;cluster`, as istiod labels endpoints. */
export function decodeEndpointWorkload(encoded: string): WorkloadMetadata | null {
  const parts = encoded.split(';');
  if (parts.length < 5) return null;
  const [workload, namespace, canonicalName, canonicalRevision, cluster] = parts;
  const empty = { name: '', app: '', version: '', type: '', identity: '', region: '', zone: '', labels: {} };
  return { ...empty, workload, namespace, canonicalName, canonicalRevision, cluster };
}
