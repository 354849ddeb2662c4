/** `envoy.filters.listener.original_src`: upstream connections bear the client's address, so that the application sees who calls. */
import { type ListenerFilter, type ListenerFilterFactory, ListenerFilterStatus, type ListenerSocket } from './listener-filter.ts';

export interface OriginalSrcModel {
  /** SO_MARK of upstream connections; 0: none. */
  readonly mark: number;
}

export function createOriginalSrcFactory({ mark }: OriginalSrcModel): ListenerFilterFactory {
  const filter: ListenerFilter = {
    onAccept({ info }: ListenerSocket): ListenerFilterStatus {
      const { remoteAddress } = info;
      if (remoteAddress.kind === 'socket') info.originalSource = { address: { ...remoteAddress, port: 0 }, mark };
      return ListenerFilterStatus.continue;
    },
  };
  return () => filter;
}
