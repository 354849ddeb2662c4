/** `envoy.config.core.v3.ConfigSource`. */
import { existsSync } from 'node:fs';
import type { protos } from '../../../protos/messages.ts';
import type { ConfigSourceModel, GrpcSourceModel } from '../model/bootstrap.ts';
import { ConfigError } from './config-error.ts';
import { durationMs, requireText } from './scalars.ts';

type ConfigSource = protos.envoy.config.core.v3.ConfigSource;

const defaultInitialFetchTimeoutMs = 15_000;
/** Values of `ApiConfigSource.ApiType`. */
const grpc = 2;
const deltaGrpc = 3;
/** Values of `ApiVersion`. */
const v2 = 1;
const v3 = 2;
const v2Gone = 'V2 (and AUTO) xDS transport protocol versions are deprecated: the v2 xDS major version is no longer supported';

export function compileConfigSource(message: ConfigSource | null, path: string): ConfigSourceModel {
  if (message === null) throw new ConfigError(path, 'value is required');
  if (message.resource_api_version === v2) throw new ConfigError(`${path}.resource_api_version`, v2Gone);
  return {
    source: compileSource(message, path),
    initialFetchTimeoutMs: durationMs(
      message.initial_fetch_timeout,
      defaultInitialFetchTimeoutMs,
      `${path}.initial_fetch_timeout`,
    ),
  };
}

function compileSource(message: ConfigSource, path: string): ConfigSourceModel['source'] {
  switch (message.config_source_specifier) {
    case 'ads':
      return { kind: 'ads' };
    case 'path':
      return { kind: 'path', path: requireFile(message.path!, `${path}.path`), watchedDirectory: null };
    case 'path_config_source': {
      const source = message.path_config_source!;
      return {
        kind: 'path',
        path: requireFile(source.path, `${path}.path_config_source.path`),
        watchedDirectory: source.watched_directory?.path ?? null,
      };
    }
    case 'api_config_source':
      return { kind: 'grpc', ...compileGrpcSource(message.api_config_source!, `${path}.api_config_source`) };
    default:
      throw new ConfigError(path, 'config_source_specifier is required');
  }
}

/** A file that comes later would not be noticed by Envoy either. */
function requireFile(file: string, path: string): string {
  if (!existsSync(requireText(file, path))) {
    throw new ConfigError(path, `paths must refer to an existing path in the system: '${file}' does not exist`);
  }
  return file;
}

/** The gRPC source of an ApiConfigSource, which ADS also uses. */
export function compileGrpcSource(message: protos.envoy.config.core.v3.ApiConfigSource, path: string): GrpcSourceModel {
  if (message.api_type !== grpc && message.api_type !== deltaGrpc) {
    throw new ConfigError(`${path}.api_type`, 'only GRPC and DELTA_GRPC are implemented');
  }
  if (message.transport_api_version !== v3) throw new ConfigError(`${path}.transport_api_version`, v2Gone);
  if (message.grpc_services.length !== 1) {
    throw new ConfigError(`${path}.grpc_services`, 'must have a single gRPC service specified');
  }
  const service = message.grpc_services[0];
  if (service.envoy_grpc === null) throw new ConfigError(`${path}.grpc_services[0]`, 'envoy_grpc is required');
  const at = `${path}.grpc_services[0].envoy_grpc`;
  return {
    protocol: message.api_type === deltaGrpc ? 'delta' : 'sotw',
    cluster: requireText(service.envoy_grpc.cluster_name, `${at}.cluster_name`),
    nodeOnFirstMessageOnly: message.set_node_on_first_message_only,
    initialMetadata: service.initial_metadata.map(({ key, value }) => ({ key, value })),
  };
}
