/** Run time of `envoy.filters.http.set_filter_state`. */
import type { HttpFilterFactory } from '../../../../http/filter.ts';
import { HookStatus } from '../../../../http/filter.ts';
import { FilterStateSetter } from '../../filter-state-setter.ts';
import type { SetFilterStateModel } from './config.ts';

export function createSetFilterStateFilter(config: SetFilterStateModel): HttpFilterFactory {
  const setter = new FilterStateSetter(config.onRequestHeaders);
  return ({ streamInfo }) => ({
    onRequestHeaders(requestHeaders) {
      setter.apply({ info: streamInfo, requestHeaders, responseHeaders: null, responseTrailers: null });
      return HookStatus.continue;
    },
  });
}
