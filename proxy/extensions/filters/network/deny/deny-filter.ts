/** Closes every connection: what runs in place of a security filter that is not implemented. */
import {
  FilterStatus,
  type NetworkFilter,
  type NetworkFilterCallbacks,
  type NetworkFilterFactory,
} from '../../../../network/filter.ts';
import type { DenyModel } from '../../http/deny/config.ts';

export function buildDenyNetworkFilter(config: DenyModel): NetworkFilterFactory {
  const details = `access_denied{${config.reason.replaceAll(' ', '_')}}`;
  return ({ connection }: NetworkFilterCallbacks): NetworkFilter => ({
    onNewConnection() {
      connection.close('no-flush', details);
      return FilterStatus.stop;
    },
    // Nothing may pass between the close and its notice.
    onData: () => FilterStatus.stop,
  });
}
