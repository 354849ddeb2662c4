/** Lists of network and HTTP filters. */
import type { protos } from '../../../protos/messages.ts';
import type { FilterModel } from '../model/listener.ts';
import { ConfigError } from './config-error.ts';
import { compileConfigDiscovery } from './extension-config.ts';
import { type HttpFilterDefinition, leftOut, type NetworkFilterDefinition } from './extension.ts';
import { requireText } from './scalars.ts';
import type { CompileScope } from './scope.ts';
import { compileTypedConfig, typeNameOf, unknownExtension } from './typed-config.ts';

type HttpFilter = protos.envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter;
type Definition = HttpFilterDefinition | NetworkFilterDefinition;

interface NamedConfig {
  readonly name: string;
  readonly typed_config: protos.google.protobuf.Any | null;
  readonly config_discovery?: protos.envoy.config.core.v3.ExtensionConfigSource | null;
}

interface CompiledFilter {
  readonly model: FilterModel;
  readonly terminal: boolean;
}

function compileFilter(
  message: NamedConfig,
  definitions: readonly Definition[],
  path: string,
  scope: CompileScope,
): CompiledFilter | typeof leftOut | null {
  const compiled = compileTypedConfig(definitions, message.typed_config, `${path}.typed_config`, scope);
  if (compiled === null) return null;
  const { definition, config } = compiled;
  if (config === leftOut) return leftOut;
  const name = requireText(message.name, `${path}.name`);
  return { model: { kind: definition.kind, name, config }, terminal: definition.terminal };
}

/** Exactly the last filter may be terminal. */
function requireTerminalLast(filters: readonly CompiledFilter[], what: string, path: string): void {
  for (const [i, { model, terminal }] of filters.entries()) {
    const isLast = i === filters.length - 1;
    if (terminal && !isLast) {
      throw new ConfigError(
        path,
        `Error: terminal filter named ${model.name} of type ${model.kind} must be the last filter in a ${what} filter chain.`,
      );
    }
    if (!terminal && isLast) {
      throw new ConfigError(
        path,
        `Error: non-terminal filter named ${model.name} of type ${model.kind} is the last filter in a ${what} filter chain.`,
      );
    }
  }
}

/** Of a filter chain: the last one is terminal. An empty list closes every connection. */
export function compileNetworkFilters(
  messages: readonly NamedConfig[],
  path: string,
  scope: CompileScope,
): readonly FilterModel[] {
  const filters = messages
    .map((message, i) => compileNetworkFilter(message, `${path}[${i}]`, scope))
    .filter(filter => filter !== leftOut);
  requireTerminalLast(filters, 'network', path);
  return filters.map(({ model }) => model);
}

function compileNetworkFilter(message: NamedConfig, path: string, scope: CompileScope): CompiledFilter | typeof leftOut {
  if (message.config_discovery) {
    const discovery = `${path}.config_discovery`;
    const model = compileConfigDiscovery(message.name, message.config_discovery, discovery, 'network_filter', scope);
    return { model, terminal: false };
  }
  const filter = compileFilter(message, scope.context.extensions.networkFilters, path, scope);
  if (filter === null) throw unknownExtension('network filter', message.name, message.typed_config, path);
  return filter;
}

/** Of a cluster: none is terminal. */
export function compileUpstreamFilters(
  messages: readonly NamedConfig[],
  path: string,
  scope: CompileScope,
): readonly FilterModel[] {
  return messages.flatMap((message, i) => {
    if (message.config_discovery) throw new ConfigError(`${path}[${i}].config_discovery`, 'is not implemented');
    const filter = compileNetworkFilter(message, `${path}[${i}]`, scope);
    if (filter === leftOut) return [];
    const { model, terminal } = filter;
    if (terminal) throw new ConfigError(`${path}[${i}]`, `${model.kind} cannot be an upstream network filter`);
    return [model];
  });
}

/** Of a connection manager or an upgrade. An optional filter of unknown type is left out. */
export function compileHttpFilters(messages: readonly HttpFilter[], path: string, scope: CompileScope): readonly FilterModel[] {
  const filters: CompiledFilter[] = [];
  for (const [i, message] of messages.entries()) {
    const at = `${path}[${i}]`;
    const filter = compileHttpFilter(message, at, scope);
    if (filter === leftOut) continue;
    if (filter !== null) filters.push(message.disabled ? { ...filter, model: { ...filter.model, disabled: true } } : filter);
    else if (!message.is_optional) throw unknownExtension('HTTP filter', message.name, message.typed_config, at);
    else {
      const type = message.typed_config === null ? '' : typeNameOf(message.typed_config, at);
      scope.warn(at, `optional HTTP filter ${message.name} of unknown type ${type} is left out`);
    }
  }
  requireTerminalLast(filters, 'http', path);
  const last = filters.at(-1)?.model;
  if (last?.disabled) {
    const text = `Error: the last (terminal) filter (${last.name}) in the chain cannot be disabled by default.`;
    throw new ConfigError(path, text);
  }
  return filters.map(({ model }) => model);
}

function compileHttpFilter(message: HttpFilter, path: string, scope: CompileScope): CompiledFilter | typeof leftOut | null {
  if (message.config_discovery === null) return compileFilter(message, scope.context.extensions.httpFilters, path, scope);
  const discovery = `${path}.config_discovery`;
  const model = compileConfigDiscovery(message.name, message.config_discovery, discovery, 'http_filter', scope);
  return { model, terminal: false };
}
