/** `typed_per_filter_config`: the configuration of an HTTP filter on a route, virtual host or weighted cluster. */
import type { protos } from '../../../protos/messages.ts';
import type { PerFilterModel, PerFilterModels } from '../model/route.ts';
import type { CompileScope } from './scope.ts';
import { compileTypedConfig, openExpected, typeNameOf, unknownExtension } from './typed-config.ts';

const filterConfigType = 'envoy.config.route.v3.FilterConfig';
const none: PerFilterModels = {};

/** `path` is that of the map. */
export function compilePerFilter(
  messages: { readonly [name: string]: protos.google.protobuf.Any },
  path: string,
  scope: CompileScope,
): PerFilterModels {
  const entries = Object.entries(messages);
  if (entries.length === 0) return none;
  const models: { [name: string]: PerFilterModel } = {};
  for (const [name, any] of entries) {
    const model = compileEntry(name, any, `${path}["${name}"]`, scope);
    if (model !== null) Object.defineProperty(models, name, { value: model, enumerable: true, configurable: true });
  }
  return models;
}

/** Null: optional and unknown, hence without effect. */
function compileEntry(name: string, any: protos.google.protobuf.Any, path: string, scope: CompileScope): PerFilterModel | null {
  if (typeNameOf(any, path) !== filterConfigType) return compileConfig(name, any, false, path, scope);
  const wrapper = openExpected(any, filterConfigType, path, scope) as protos.envoy.config.route.v3.FilterConfig;
  if (wrapper.disabled) return { kind: '', disabled: true, config: null };
  if (wrapper.config === null) return wrapper.is_optional ? null : { kind: '', disabled: false, config: null };
  return compileConfig(name, wrapper.config, wrapper.is_optional, `${path}.config`, scope);
}

function compileConfig(
  name: string,
  any: protos.google.protobuf.Any,
  isOptional: boolean,
  path: string,
  scope: CompileScope,
): PerFilterModel | null {
  for (const filter of scope.context.extensions.httpFilters) {
    const compiled = compileTypedConfig(filter.perRoute, any, path, scope);
    if (compiled !== null) return { kind: filter.kind, disabled: false, config: compiled.config };
  }
  if (!isOptional) throw unknownExtension('per-route configuration of an HTTP filter', name, any, path);
  scope.warn(path, `optional per-route configuration of ${name} is unknown and has no effect`);
  return null;
}
