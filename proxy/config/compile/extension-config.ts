/** `envoy.config.core.v3.TypedExtensionConfig` from ECDS, and the `config_discovery` of a filter that waits for it. */
import type { protos } from '../../../protos/messages.ts';
import type { DiscoveredFilterModel, FilterModel } from '../model/listener.ts';
import { ConfigError } from './config-error.ts';
import { compileConfigSource } from './config-source.ts';
import { type HttpFilterDefinition, leftOut, type NetworkFilterDefinition } from './extension.ts';
import { requireText } from './scalars.ts';
import { type CompileContext, type CompileFindings, CompileScope, type ExtensionReference } from './scope.ts';
import { compileTypedConfig, decodeChecked, typeNameOf, unknownExtension } from './typed-config.ts';

type TypedExtensionConfig = protos.envoy.config.core.v3.TypedExtensionConfig;
type Category = ExtensionReference['category'];

export interface CompiledExtensionConfig extends CompileFindings {
  /** Null: the filter has nothing to do. */
  readonly model: FilterModel | null;
  /** Full name of the message. */
  readonly typeName: string;
}

/**
 * @param category decides which filters are looked through.
 * @throws ConfigError naming the type for a filter that is not implemented.
 */
export function compileExtensionConfig(bytes: Uint8Array, category: Category, context: CompileContext): CompiledExtensionConfig {
  const scope = new CompileScope(context, 'extension');
  const message = decodeChecked('envoy.config.core.v3.TypedExtensionConfig', bytes, '', scope) as TypedExtensionConfig;
  const name = requireText(message.name, 'name');
  scope.owner = name;
  if (message.typed_config === null) throw new ConfigError('typed_config', 'value is required');
  const model = compileDiscovered(name, message.typed_config, 'typed_config', category, scope);
  return { model, typeName: typeNameOf(message.typed_config, 'typed_config'), ...scope.findings() };
}

function compileDiscovered(
  name: string,
  config: protos.google.protobuf.Any,
  path: string,
  category: Category,
  scope: CompileScope,
): FilterModel | null {
  const { httpFilters, networkFilters } = scope.context.extensions;
  const definitions: readonly (HttpFilterDefinition | NetworkFilterDefinition)[] =
    category === 'http_filter' ? httpFilters : networkFilters;
  const compiled = compileTypedConfig(definitions, config, path, scope);
  if (compiled === null) throw unknownExtension(`discovered ${category.replace('_', ' ')}`, name, config, path);
  const { definition } = compiled;
  if (definition.terminal) throw new ConfigError(path, `${definition.kind} is a terminal filter, which cannot be discovered`);
  return compiled.config === leftOut ? null : { kind: definition.kind, name, config: compiled.config };
}

/** Notes in the scope what has to be subscribed to. */
export function compileConfigDiscovery(
  name: string,
  message: protos.envoy.config.core.v3.ExtensionConfigSource,
  path: string,
  category: Category,
  scope: CompileScope,
): DiscoveredFilterModel {
  requireText(name, `${path.slice(0, path.lastIndexOf('.'))}.name`);
  if (message.type_urls.length === 0) throw new ConfigError(`${path}.type_urls`, 'value must contain at least 1 item(s)');
  const typeNames = message.type_urls.map(url => url.slice(url.lastIndexOf('/') + 1));
  const { default_config } = message;
  const fallback =
    default_config === null ? null : compileDiscovered(name, default_config, `${path}.default_config`, category, scope);
  if (message.apply_default_config_without_warming && default_config === null) {
    const text = 'Error: default_config must be set when apply_default_config_without_warming is true';
    throw new ConfigError(`${path}.default_config`, text);
  }
  scope.extensions.push({
    name,
    category,
    typeNames,
    source: compileConfigSource(message.config_source, `${path}.config_source`),
    isAwaited: !message.apply_default_config_without_warming,
  });
  return { kind: 'discovered', name, config: { name, category, fallback, hasFallback: default_config !== null } };
}
