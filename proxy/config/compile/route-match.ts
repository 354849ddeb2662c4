/** `envoy.config.route.v3.RouteMatch`. */
import type { protos } from '../../../protos/messages.ts';
import type { RouteMatch } from '../model/route.ts';
import { ConfigError } from './config-error.ts';
import { compileHeaderMatchers, compileMetadataMatcher, compileQueryParameterMatcher, compileRegex } from './matchers.ts';
import { runtimeFraction, unwrap } from './scalars.ts';
import type { CompileScope } from './scope.ts';

type RouteMatchMessage = protos.envoy.config.route.v3.RouteMatch;

export function compileRouteMatch(message: RouteMatchMessage | null, path: string, scope: CompileScope): RouteMatch {
  if (message === null) throw new ConfigError(path, 'value is required');
  return {
    path: compilePathMatch(message, path, scope),
    headers: compileHeaderMatchers(message.headers, `${path}.headers`, scope),
    queryParameters: message.query_parameters.map((matcher, i) =>
      compileQueryParameterMatcher(matcher, `${path}.query_parameters[${i}]`, scope),
    ),
    grpc: message.grpc !== null,
    runtimeFraction: runtimeFraction(message.runtime_fraction, `${path}.runtime_fraction`),
    dynamicMetadata: message.dynamic_metadata.map((matcher, i) =>
      compileMetadataMatcher(matcher, `${path}.dynamic_metadata[${i}]`, scope),
    ),
    ...compileCertificateMatch(message.tls_context),
  };
}

function compileCertificateMatch(
  message: protos.envoy.config.route.v3.RouteMatch.TlsContextMatchOptions | null,
): Pick<RouteMatch, 'clientCertificate'> {
  if (message === null) return {};
  return { clientCertificate: { presented: unwrap(message.presented, null), validated: unwrap(message.validated, null) } };
}

function compilePathMatch(message: RouteMatchMessage, path: string, scope: CompileScope): RouteMatch['path'] {
  const ignoreCase = !unwrap(message.case_sensitive, true);
  switch (message.path_specifier) {
    case 'prefix':
      return { kind: 'prefix', value: message.prefix!, ignoreCase };
    case 'path':
      return { kind: 'exact', value: message.path!, ignoreCase };
    case 'path_separated_prefix': {
      const value = message.path_separated_prefix!;
      if (!/^[^?#]+[^?#/]$/.test(value)) {
        throw new ConfigError(`${path}.path_separated_prefix`, 'value does not match regex pattern "^[^?#]+[^?#/]$"');
      }
      return { kind: 'path-separated-prefix', value, ignoreCase };
    }
    case 'safe_regex':
      return { kind: 'regex', value: compileRegex(message.safe_regex!, `${path}.safe_regex`, scope) };
    case 'connect_matcher':
      return { kind: 'connect' };
    default:
      throw new ConfigError(path, 'path_specifier is required');
  }
}
