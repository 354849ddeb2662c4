/**
 * The attributes of a stream for CEL expressions.
 *
 * Source: Envoy, "Attributes"; istio.stats adds `node`, `upstream_peer` and `downstream_peer`.
 */
import type { Address } from '../../config/model/address.ts';
import { formatAddress } from '../../config/model/address.ts';
import type { NodeModel } from '../../http/filter.ts';
import type { HeaderMap } from '../../http/header-map.ts';
import type { CertificateInfo, ConnectionInfo } from '../../network/connection.ts';
import type { FormatContext } from '../format-operator.ts';
import type { StreamInfo } from '../stream-info.ts';
import type { Attributes } from './cel.ts';

function headersOf(headers: HeaderMap | null): Attributes {
  const map: { [name: string]: string } = Object.create(null);
  if (headers === null) return map;
  if (headers.method !== '') map[':method'] = headers.method;
  if (headers.path !== '') map[':path'] = headers.path;
  if (headers.authority !== '') map[':authority'] = headers.authority;
  if (headers.scheme !== '') map[':scheme'] = headers.scheme;
  if (headers.status !== 0) map[':status'] = String(headers.status);
  const { entries } = headers;
  for (let i = 0; i < entries.length; i += 2) {
    map[entries[i]] = entries[i] in map ? `${map[entries[i]]},${entries[i + 1]}` : entries[i + 1];
  }
  return map;
}

/** '' is a missing attribute. */
function given(text: string | null | undefined): string | undefined {
  return text === null || text === '' ? undefined : text;
}

function requestAttributes({ info, requestHeaders }: FormatContext): Attributes {
  const path = requestHeaders?.path ?? '';
  const query = path.indexOf('?');
  const endMs = info.endMonotonicMs;
  return {
    path,
    url_path: query === -1 ? path : path.slice(0, query),
    query: query === -1 ? '' : path.slice(query + 1),
    host: requestHeaders?.authority ?? '',
    scheme: requestHeaders?.scheme ?? '',
    method: requestHeaders?.method ?? '',
    headers: headersOf(requestHeaders),
    referer: requestHeaders?.get('referer') ?? '',
    useragent: requestHeaders?.get('user-agent') ?? '',
    id: requestHeaders?.get('x-request-id') ?? '',
    protocol: given(info.protocol),
    time: new Date(info.startTimeMs).toISOString(),
    duration: endMs === 0 ? undefined : `${(endMs - info.startMonotonicMs) / 1000}s`,
    size: info.bytesReceived,
    total_size: info.wireBytesReceived,
  };
}

function responseAttributes({ info, responseHeaders, responseTrailers }: FormatContext): Attributes {
  return {
    code: info.responseCode === 0 ? undefined : info.responseCode,
    code_details: given(info.responseCodeDetails),
    flags: info.responseFlags,
    grpc_status: info.grpcStatus < 0 ? undefined : info.grpcStatus,
    headers: headersOf(responseHeaders),
    trailers: headersOf(responseTrailers),
    size: info.bytesSent,
    total_size: info.wireBytesSent,
  };
}

function certificateAttributes(suffix: string, certificate: CertificateInfo | null | undefined): Attributes {
  return {
    [`subject_${suffix}`]: given(certificate?.subject),
    [`uri_san_${suffix}`]: given(certificate?.uriSans[0]),
    [`dns_san_${suffix}`]: given(certificate?.dnsSans[0]),
  };
}

function tlsAttributes(connection: ConnectionInfo | null): Attributes {
  const tls = connection?.tls;
  return {
    tls_version: given(tls?.version),
    ...certificateAttributes('local_certificate', tls?.local),
    ...certificateAttributes('peer_certificate', tls?.peer),
    sha256_peer_certificate_digest: given(tls?.peer?.sha256),
  };
}

function connectionAttributes(info: StreamInfo): Attributes {
  const { downstream } = info;
  return {
    id: downstream.id,
    mtls: downstream.tls?.peerCertificatePresented ?? false,
    requested_server_name: downstream.requestedServerName,
    termination_details: given(info.connectionTerminationDetails),
    transport_failure_reason: given(downstream.transportFailureReason),
    ...tlsAttributes(downstream),
  };
}

function addressAttributes(address: Address | null | undefined): Attributes {
  if (!address) return {};
  const text = formatAddress(address);
  return address.kind === 'socket' ? { address: text, port: address.port } : { address: text };
}

function upstreamAttributes(info: StreamInfo): Attributes {
  return {
    ...addressAttributes(info.upstreamHost?.address),
    local_address: info.upstreamConnection ? formatAddress(info.upstreamConnection.localAddress) : undefined,
    transport_failure_reason: given(info.upstreamTransportFailureReason),
    ...tlsAttributes(info.upstreamConnection),
  };
}

function xdsAttributes(info: StreamInfo, node: NodeModel | null): Attributes {
  return {
    cluster_name: given(info.cluster?.name),
    cluster_metadata: info.cluster ? { filter_metadata: info.cluster.model.metadata } : undefined,
    route_name: info.routeName,
    route_metadata: info.route ? { filter_metadata: info.route.metadata } : undefined,
    virtual_host_name: info.virtualHostName,
    upstream_host_metadata: info.upstreamHost ? { filter_metadata: info.upstreamHost.metadata } : undefined,
    filter_chain_name: info.downstream.filterChainName,
    node: node ?? undefined,
  };
}

function filterStateAttributes(info: StreamInfo): Attributes {
  return { ...Object.fromEntries(info.connectionFilterState ?? []), ...Object.fromEntries(info.filterState ?? []) };
}

/** Attributes whose groups are made when an expression first asks for them. */
export function createAttributes(context: FormatContext, node: NodeModel | null): Attributes {
  const { info } = context;
  const groups: { readonly [name: string]: () => unknown } = {
    request: () => requestAttributes(context),
    response: () => responseAttributes(context),
    connection: () => connectionAttributes(info),
    source: () => addressAttributes(info.downstream.remoteAddress),
    destination: () => addressAttributes(info.downstream.localAddress),
    upstream: () => upstreamAttributes(info),
    xds: () => xdsAttributes(info, node),
    node: () => node ?? undefined,
    metadata: () => ({ filter_metadata: info.dynamicMetadata ?? {} }),
    filter_state: () => filterStateAttributes(info),
    upstream_peer: () => info.getFilterState('upstream_peer') ?? undefined,
    downstream_peer: () => info.getFilterState('downstream_peer') ?? undefined,
  };
  const attributes = {};
  for (const [name, read] of Object.entries(groups)) Object.defineProperty(attributes, name, { get: read, enumerable: true });
  return attributes;
}
