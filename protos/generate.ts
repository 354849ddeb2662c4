/**
 * Generates protos/generated: one JSON descriptor that holds the messages of roots.ts and what they reach, and its
 * TypeScript types. Field names stay as in the .proto files, so a field path in a NACK reads as in Envoy's documentation.
 *
 * Sources: the Envoy API as shipped by @grpc/grpc-js-xds, and protos/istio.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import protobuf from 'protobufjs';
import { rootFiles, rootMessages } from './roots.ts';
import { renderTypes } from './types-renderer.ts';

const here = import.meta.dirname;
const output = join(here, 'generated');
const deps = join(dirname(createRequire(import.meta.url).resolve('@grpc/grpc-js-xds/package.json')), 'deps');
const includeDirs = [
  here,
  ...['envoy-api', 'xds', 'googleapis', 'protoc-gen-validate'].map(name => join(deps, name)),
  dirname(createRequire(import.meta.url).resolve('protobufjs/package.json')), // google/protobuf/descriptor.proto
];

function resolveImport(file: string): string {
  for (const dir of includeDirs) if (existsSync(join(dir, file))) return join(dir, file);
  throw new Error(`protos: cannot find ${file} in ${includeDirs.join(', ')}`);
}

const localRateLimit = 'envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit';

const mirrorPolicy = 'envoy.config.route.v3.RouteAction.RequestMirrorPolicy';
const headerMutation = 'envoy.config.common.mutation_rules.v3.HeaderMutation';

interface NewerField {
  readonly message: string;
  readonly name: string;
  readonly id: number;
  readonly type: string;
  readonly rule?: 'repeated';
}

/** Fields that istiod sends or users set, and that the package's copy of the API does not have yet. */
const newerFields: readonly NewerField[] = [
  { message: 'envoy.config.cluster.v3.Cluster', name: 'dns_jitter', id: 58, type: 'google.protobuf.Duration' },
  {
    message: 'envoy.config.core.v3.HttpProtocolOptions',
    name: 'max_response_headers_kb',
    id: 7,
    type: 'google.protobuf.UInt32Value',
  },
  { message: localRateLimit, name: 'rate_limits', id: 17, type: 'envoy.config.route.v3.RateLimit', rule: 'repeated' },
  { message: localRateLimit, name: 'max_dynamic_descriptors', id: 18, type: 'google.protobuf.UInt32Value' },
  { message: localRateLimit, name: 'enable_retry_after_header', id: 19, type: 'bool' },
  { message: 'envoy.extensions.common.ratelimit.v3.LocalRateLimitDescriptor', name: 'shadow_mode', id: 3, type: 'bool' },
  { message: 'envoy.config.route.v3.RateLimit', name: 'apply_on_stream_done', id: 6, type: 'bool' },
  { message: 'envoy.config.route.v3.RateLimit', name: 'x_ratelimit_option', id: 7, type: 'uint32' },
  { message: mirrorPolicy, name: 'request_headers_mutations', id: 7, type: headerMutation, rule: 'repeated' },
  { message: mirrorPolicy, name: 'host_rewrite_literal', id: 8, type: 'string' },
  { message: 'envoy.config.route.v3.RouteAction', name: 'path_rewrite', id: 45, type: 'string' },
  { message: 'envoy.config.route.v3.Route', name: 'request_body_buffer_limit', id: 20, type: 'google.protobuf.UInt64Value' },
  {
    message: 'envoy.config.route.v3.VirtualHost',
    name: 'request_body_buffer_limit',
    id: 25,
    type: 'google.protobuf.UInt64Value',
  },
];

function loadRoot(): protobuf.Root {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) => (protobuf.common.get(target) !== null ? target : resolveImport(target));
  const files = new Set<string>(rootFiles);
  for (const name of rootMessages) {
    for (const file of filesDeclaring(name)) files.add(file);
  }
  root.loadSync([...files], { keepCase: true });
  for (const { message, name, id, type, rule } of newerFields) {
    const field = new protobuf.Field(name, id, type, rule);
    root.lookupType(message).add(field);
    // Loading has resolved the others.
    field.resolve();
  }
  root.lookupEnum('envoy.config.accesslog.v3.ComparisonFilter.Op').add('NE', 3);
  return root;
}

/** The files of a package's folder that declare a message. */
function filesDeclaring(message: string): string[] {
  const parts = message.split('.');
  const declaration = new RegExp(`^message ${parts.pop()} \\{`, 'm');
  const folder = parts.join('/');
  return includeDirs
    .filter(dir => existsSync(join(dir, folder)))
    .flatMap(dir => readdirSync(join(dir, folder)).map(file => ({ dir, file: `${folder}/${file}` })))
    .filter(({ dir, file }) => file.endsWith('.proto') && declaration.test(readFileSync(join(dir, file), 'utf8')))
    .map(({ file }) => file);
}

/** Full names of the messages and enums reachable from the roots. */
function findReachable(root: protobuf.Root): Set<string> {
  const reachable = new Set<string>();
  const queue: protobuf.ReflectionObject[] = rootMessages.map(name => root.lookupType(name));
  for (let object = queue.pop(); object !== undefined; object = queue.pop()) {
    const name = object.fullName.slice(1);
    if (reachable.has(name)) continue;
    reachable.add(name);
    if (object instanceof protobuf.Type) {
      for (const field of object.fieldsArray) if (field.resolvedType) queue.push(field.resolvedType);
    }
  }
  return reachable;
}

type NamespaceJson = {
  nested?: Record<string, NamespaceJson>;
  fields?: Record<string, { options?: unknown; comment?: unknown }>;
  oneofs?: unknown;
  values?: Record<string, number>;
};

/** Drops what is unreachable, and every option (validation rules, deprecation), which nothing here reads. */
function prune(json: NamespaceJson, path: string, reachable: Set<string>): NamespaceJson | null {
  const { nested, ...own } = json;
  const isType = own.fields !== undefined || own.values !== undefined;
  const isReachable = isType && reachable.has(path);
  const kept: Record<string, NamespaceJson> = {};
  for (const [name, child] of Object.entries(nested ?? {})) {
    const pruned = 'rule' in child || 'methods' in child ? null : prune(child, path ? `${path}.${name}` : name, reachable);
    if (pruned) kept[name] = pruned;
  }
  if (!isReachable && Object.keys(kept).length === 0) return null;
  const result: Record<string, unknown> = isReachable ? { ...own } : {};
  delete result.options;
  delete result.reserved;
  if (isReachable && own.fields) {
    result.fields = Object.fromEntries(
      Object.entries(own.fields).map(([name, field]) => {
        const { options, ...rest } = field as { options?: Record<string, unknown> };
        return [name, options?.proto3_optional ? { ...rest, options: { proto3_optional: true } } : rest];
      }),
    );
  }
  if (Object.keys(kept).length > 0) result.nested = kept;
  return result as NamespaceJson;
}

/**
 * Marks the scalars of oneofs as `proto3_optional`, so that one that is not set decodes as null and not as its type's default:
 * only then `a ?? b` means what it says.
 */
function markOneofScalars(json: NamespaceJson): void {
  const oneofs = (json.oneofs ?? {}) as { [name: string]: { oneof: string[] } };
  for (const name of Object.values(oneofs).flatMap(({ oneof }) => oneof)) {
    const field = json.fields![name];
    field.options = { ...(field.options ?? {}), proto3_optional: true };
  }
  for (const child of Object.values(json.nested ?? {})) markOneofScalars(child);
}

function main(): void {
  const root = loadRoot();
  const reachable = findReachable(root);
  const json = prune(root.toJSON() as NamespaceJson, '', reachable);
  mkdirSync(output, { recursive: true });
  const types = renderTypes(protobuf.Root.fromJSON(json as protobuf.INamespace), rootMessages);
  writeFileSync(join(output, 'types.d.ts'), types);
  markOneofScalars(json!);
  writeFileSync(join(output, 'descriptor.json'), JSON.stringify(json));
  console.log(`protos: ${reachable.size} messages and enums`);
}

main();
