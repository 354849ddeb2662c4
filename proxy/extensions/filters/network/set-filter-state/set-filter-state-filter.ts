/** Run time of `envoy.filters.network.set_filter_state`. */
import { FilterStatus, type NetworkFilterFactory } from '../../../../network/filter.ts';
import { FilterStateSetter } from '../../filter-state-setter.ts';
import type { SetConnectionStateModel } from './config.ts';

export function createSetConnectionStateFilter(config: SetConnectionStateModel): NetworkFilterFactory {
  const setter = new FilterStateSetter(config.onNewConnection);
  return ({ streamInfo }) => ({
    onNewConnection() {
      setter.apply({ info: streamInfo, requestHeaders: null, responseHeaders: null, responseTrailers: null });
      return FilterStatus.continue;
    },
  });
}
