/** `envoy.filters.listener.original_dst`: restores where a redirected connection was going to. */
import { getOriginalDestination } from '../network/socket-options.ts';
import { type ListenerFilter, ListenerFilterStatus, type ListenerSocket } from './listener-filter.ts';

const originalDst: ListenerFilter = {
  onAccept(socket: ListenerSocket): ListenerFilterStatus {
    restoreDestination(socket);
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
