/** `envoy.filters.http.set_filter_state`. */
import { defineHttpFilter } from '../../../../config/compile/extension.ts';
import { classify } from '../../../../config/compile/field-table.ts';
import { compileFilterStateValues, type FilterStateModel, filterStateValueFields } from '../../set-filter-state.ts';

export interface SetFilterStateModel {
  readonly onRequestHeaders: readonly FilterStateModel[];
}

export const setFilterStateHttpFilter = defineHttpFilter({
  kind: 'envoy.filters.http.set_filter_state',
  message: 'envoy.extensions.filters.http.set_filter_state.v3.Config',
  compile: (message, path): SetFilterStateModel => ({
    onRequestHeaders: compileFilterStateValues(message.on_request_headers, `${path}.on_request_headers`),
  }),
  fields: {
    'envoy.extensions.filters.http.set_filter_state.v3.Config': classify({ implemented: 'on_request_headers' }),
    ...filterStateValueFields,
  },
});
