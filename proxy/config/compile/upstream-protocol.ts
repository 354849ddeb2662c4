/** `HttpProtocolOptions` of a cluster, and the deprecated fields that it replaces. */
import type { protos } from '../../../protos/messages.ts';
import type { UpstreamProtocolModel } from '../model/cluster.ts';
import { ConfigError } from './config-error.ts';
import { type CommonHttpOptions, compileCommonHttpOptions, compileHttp1Options, compileHttp2Options } from './http-protocol.ts';
import type { CompileScope } from './scope.ts';
import { openExpected } from './typed-config.ts';

type Cluster = protos.envoy.config.cluster.v3.Cluster;
type Options = protos.envoy.extensions.upstreams.http.v3.HttpProtocolOptions;

const optionsName = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

export function compileUpstreamProtocol(message: Cluster, scope: CompileScope): UpstreamProtocolModel {
  const entries = Object.entries(message.typed_extension_protocol_options);
  for (const [name] of entries) {
    if (name !== optionsName) {
      throw new ConfigError(
        `typed_extension_protocol_options["${name}"]`,
        `Didn't find a registered network or http filter or protocol options implementation for name: '${name}'`,
      );
    }
  }
  if (entries.length === 0) return compileDeprecated(message, scope);
  const path = `typed_extension_protocol_options["${optionsName}"]`;
  return compileOptions(openExpected(entries[0][1], optionsName, path, scope) as Options, path, scope);
}

function compileOptions(message: Options, path: string, scope: CompileScope): UpstreamProtocolModel {
  const { kind, http1, http2, at } = chooseProtocol(message, path);
  const own = message.upstream_http_protocol_options;
  return {
    kind,
    http1: compileHttp1Options(http1, `${at}.http_protocol_options`, scope),
    http2: compileHttp2Options(http2, `${at}.http2_protocol_options`),
    ...compileConnection(message.common_http_protocol_options, `${path}.common_http_protocol_options`),
    autoSni: own?.auto_sni ?? false,
    autoSanValidation: own?.auto_san_validation ?? false,
  };
}

interface ChosenProtocol {
  readonly kind: UpstreamProtocolModel['kind'];
  readonly http1: protos.envoy.config.core.v3.Http1ProtocolOptions | null;
  readonly http2: protos.envoy.config.core.v3.Http2ProtocolOptions | null;
  readonly at: string;
}

function chooseProtocol(message: Options, path: string): ChosenProtocol {
  switch (message.upstream_protocol_options) {
    case 'explicit_http_config': {
      const at = `${path}.explicit_http_config`;
      const { http_protocol_options: http1, http2_protocol_options: http2 } = message.explicit_http_config!;
      if (http1 === null && http2 === null) throw new ConfigError(at, 'protocol_config is required');
      return { kind: http2 === null ? 'http1' : 'http2', http1, http2, at };
    }
    case 'use_downstream_protocol_config': {
      const config = message.use_downstream_protocol_config!;
      const at = `${path}.use_downstream_protocol_config`;
      return { kind: 'downstream', http1: config.http_protocol_options, http2: config.http2_protocol_options, at };
    }
    case 'auto_config': {
      const config = message.auto_config!;
      const at = `${path}.auto_config`;
      return { kind: 'auto', http1: config.http_protocol_options, http2: config.http2_protocol_options, at };
    }
    default:
      throw new ConfigError(path, 'upstream_protocol_options is required');
  }
}

function compileConnection(
  message: protos.envoy.config.core.v3.HttpProtocolOptions | null,
  path: string,
): Omit<CommonHttpOptions, 'headersWithUnderscores'> {
  const { headersWithUnderscores: _, ...options } = compileCommonHttpOptions(message, path);
  return options;
}

/** The options as fields of the cluster itself. */
function compileDeprecated(message: Cluster, scope: CompileScope): UpstreamProtocolModel {
  const own = message.upstream_http_protocol_options;
  const useDownstream = message.protocol_selection === 1;
  return {
    kind: useDownstream ? 'downstream' : message.http2_protocol_options === null ? 'http1' : 'http2',
    http1: compileHttp1Options(message.http_protocol_options, 'http_protocol_options', scope),
    http2: compileHttp2Options(message.http2_protocol_options, 'http2_protocol_options'),
    ...compileConnection(message.common_http_protocol_options, 'common_http_protocol_options'),
    autoSni: own?.auto_sni ?? false,
    autoSanValidation: own?.auto_san_validation ?? false,
  };
}
