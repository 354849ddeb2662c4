/** Operators that read metadata and filter state. */
import { FormatError, type FormatValue, type Operator, type OperatorFactory } from './format-operator.ts';
import { toByteText } from './json-text.ts';
import type { StreamInfo } from './stream-info.ts';

/** Follows `a:b:c` into nested plain objects. */
function digInto(value: unknown, path: readonly string[]): FormatValue {
  let current = value;
  for (const key of path) {
    if (typeof current !== 'object' || current === null) return null;
    current = (current as { readonly [key: string]: unknown })[key];
  }
  if (current === undefined || current === null) return null;
  return typeof current === 'string' ? toByteText(current) : (current as FormatValue);
}

type MetadataReader = (info: StreamInfo) => { readonly [namespace: string]: unknown } | null | undefined;

const metadataSources: { readonly [name: string]: MetadataReader } = {
  DYNAMIC: info => info.dynamicMetadata,
  CLUSTER: info => info.cluster?.model.metadata,
  UPSTREAM_HOST: info => info.upstreamHost?.metadata,
  ROUTE: info => info.route?.metadata,
  LISTENER: info => info.downstream.listenerMetadata,
  LISTENER_FILTER_CHAIN: info => info.downstream.filterChainMetadata,
  VIRTUAL_HOST: info => info.virtualHostMetadata,
};

function metadataOperator(source: string): OperatorFactory {
  const read = metadataSources[source];
  return (argument, _maxLength, name) => {
    if (!argument) throw new FormatError(`${name} requires a namespace`);
    const path = argument.split(':');
    return context => digInto(read(context.info), path);
  };
}

function anyMetadataOperator(argument: string | null, maxLength: number | null, name: string): Operator {
  const [source, ...rest] = (argument ?? '').split(':');
  if (metadataSources[source] === undefined) throw new FormatError(`${source} is not supported.`);
  return metadataOperator(source)(rest.join(':'), maxLength, name);
}

function filterStateOperator(argument: string | null): Operator {
  const [key, form = 'TYPED', field] = (argument ?? '').split(':');
  if (!key) throw new FormatError('Invalid filter state configuration, key cannot be empty.');
  if (!['PLAIN', 'TYPED', 'FIELD'].includes(form)) {
    throw new FormatError(`Invalid filter state serialize type, only support PLAIN/TYPED/FIELD.`);
  }
  return context => {
    const state = context.info.getFilterState(key);
    if (state === undefined || state === null) return null;
    return form === 'FIELD' ? digInto(state, [field ?? '']) : digInto(state, []);
  };
}

export const metadataOperators: { readonly [name: string]: OperatorFactory | undefined } = {
  DYNAMIC_METADATA: metadataOperator('DYNAMIC'),
  CLUSTER_METADATA: metadataOperator('CLUSTER'),
  UPSTREAM_METADATA: metadataOperator('UPSTREAM_HOST'),
  METADATA: anyMetadataOperator,
  FILTER_STATE: filterStateOperator,
};
