/** `envoy.filters.network.set_filter_state`. */
import { defineNetworkFilter } from '../../../../config/compile/extension.ts';
import { classify } from '../../../../config/compile/field-table.ts';
import { compileFilterStateValues, type FilterStateModel, filterStateValueFields } from '../../set-filter-state.ts';

export interface SetConnectionStateModel {
  readonly onNewConnection: readonly FilterStateModel[];
}

export const setFilterStateNetworkFilter = defineNetworkFilter({
  kind: 'envoy.filters.network.set_filter_state',
  message: 'envoy.extensions.filters.network.set_filter_state.v3.Config',
  compile: (message, path): SetConnectionStateModel => ({
    onNewConnection: compileFilterStateValues(message.on_new_connection, `${path}.on_new_connection`),
  }),
  fields: {
    'envoy.extensions.filters.network.set_filter_state.v3.Config': classify({ implemented: 'on_new_connection' }),
    ...filterStateValueFields,
  },
});
