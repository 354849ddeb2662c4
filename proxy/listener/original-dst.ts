/**
 * `envoy.filters.listener.original_dst`: restores where a redirected connection was going to. With a connection of an internal
 * listener the addresses come as filter state, or the destination in the metadata of the host.
 */
import type { SocketAddress } from '../config/model/address.ts';
import type { ConnectionRecord } from '../network/connection-record.ts';
import { parseAddressText } from '../network/socket-address.ts';
import { getOriginalDestination } from '../network/socket-options.ts';
import type { PassthroughState } from '../network/passthrough-state.ts';
import { type ListenerFilter, ListenerFilterStatus, type ListenerSocket } from './listener-filter.ts';

/** Filter state: where the connection goes to, as `ip:port`. */
export const originalDestinationKey = 'envoy.filters.listener.original_dst.local_ip';
/** Filter state: where it came from. */
export const originalSourceKey = 'envoy.filters.listener.original_dst.remote_ip';
const metadataNamespace = 'envoy.filters.listener.original_dst';

const originalDst: ListenerFilter = {
  onAccept(socket: ListenerSocket): ListenerFilterStatus {
    if (socket.info.directLocalAddress.kind === 'internal') restorePassedAddresses(socket.info);
    else restoreDestination(socket);
    return ListenerFilterStatus.continue;
  },
};

export function createOriginalDst(): ListenerFilter {
  return originalDst;
}

/** With TPROXY there is no redirection: the local address is the destination. */
export function restoreDestination(socket: ListenerSocket): void {
  const { info } = socket;
  if (info.directLocalAddress.kind !== 'socket') return;
  const destination = getOriginalDestination(socket.fd, info.directLocalAddress.address);
  if (destination !== null) info.restoreLocalAddress(destination);
  else if (socket.transparent) info.restoreLocalAddress(info.directLocalAddress);
}

function restorePassedAddresses(info: ConnectionRecord): void {
  const { passthrough } = info;
  if (passthrough === null) return;
  const destination = readState(passthrough, originalDestinationKey) ?? readText(passthrough.metadata[metadataNamespace]?.local);
  if (destination !== null) info.restoreLocalAddress(destination);
  const source = readState(passthrough, originalSourceKey);
  if (source !== null) info.remoteAddress = source;
}

function readState({ filterState }: PassthroughState, key: string): SocketAddress | null {
  return readText(filterState?.get(key)?.value);
}

function readText(value: unknown): SocketAddress | null {
  return typeof value === 'string' ? parseAddressText(value) : null;
}
