/**
 * What the network and the HTTP filter `set_filter_state` have in common: objects made from format strings, which filters, load
 * balancing and upstream connections read.
 */
import type { protos } from '../../../protos/messages.ts';
import { ConfigError } from '../../config/compile/config-error.ts';
import { classify, type FieldTable } from '../../config/compile/field-table.ts';
import { compileFormatString, findUnknownFormatter } from '../../config/compile/format.ts';
import { requireText } from '../../config/compile/scalars.ts';

type FilterStateValue = protos.envoy.extensions.filters.common.set_filter_state.v3.FilterStateValue;

/** `text`: as it is; `address`: `ip:port`; `list`: separated by commas. */
export type ObjectKind = 'text' | 'address' | 'list';

export interface FilterStateModel {
  readonly key: string;
  readonly kind: ObjectKind;
  readonly format: string;
  readonly omitEmpty: boolean;
  /** With upstream connections of this stream; transitively with those of the next one. */
  readonly sharing: 'none' | 'once' | 'transitive';
  readonly skipIfEmpty: boolean;
}

const sharings = ['none', 'once', 'transitive'] as const;

/** By the name of its factory; many keys have one of their own. */
const factories: { readonly [name: string]: ObjectKind | undefined } = {
  'envoy.string': 'text',
  'envoy.hashable_string': 'text',
  'istio.hashable_string': 'text',
  'envoy.tcp_proxy.cluster': 'text',
  'envoy.network.upstream_server_name': 'text',
  'envoy.network.application_protocols': 'list',
  'envoy.network.upstream_subject_alt_names': 'list',
  'envoy.filters.listener.original_dst.local_ip': 'address',
  'envoy.filters.listener.original_dst.remote_ip': 'address',
  'envoy.network.transport_socket.original_dst_address': 'address',
};

export function compileFilterStateValues(messages: readonly FilterStateValue[], path: string): readonly FilterStateModel[] {
  return messages.map((message, i) => compileValue(message, `${path}[${i}]`));
}

function compileValue(message: FilterStateValue, path: string): FilterStateModel {
  const key = requireText(message.object_key ?? '', `${path}.object_key`);
  const factory = message.factory_key || key;
  const kind = Object.hasOwn(factories, factory) ? factories[factory] : undefined;
  if (kind === undefined) throw new ConfigError(`${path}.object_key`, `'${factory}' does not have an object factory`);
  if (message.format_string === null) throw new ConfigError(`${path}.format_string`, 'value is required');
  const unknown = findUnknownFormatter(message.format_string, `${path}.format_string`);
  if (unknown !== null) throw new ConfigError(`${path}.format_string.formatters`, `${unknown} is not implemented`);
  const format = compileFormatString(message.format_string, `${path}.format_string`);
  if (format.kind !== 'text') throw new ConfigError(`${path}.format_string`, 'only text is implemented');
  return {
    key,
    kind,
    format: format.format,
    omitEmpty: format.omitEmpty,
    sharing: sharings[message.shared_with_upstream],
    skipIfEmpty: message.skip_if_empty,
  };
}

export const filterStateValueFields: FieldTable = {
  'envoy.extensions.filters.common.set_filter_state.v3.FilterStateValue': classify({
    implemented: 'object_key factory_key format_string shared_with_upstream skip_if_empty',
    ignored: { read_only: 'of several values for one key the last one holds' },
  }),
};
