/** `envoy.config.accesslog.v3.AccessLog` and its filters. */
import type { protos } from '../../../protos/messages.ts';
import { compileCel } from '../../telemetry/cel/cel.ts';
import { responseFlagBits } from '../../telemetry/response-flags.ts';
import type { AccessLogFilter, AccessLogModel } from '../model/access-log.ts';
import { ConfigError } from './config-error.ts';
import { compileHeaderMatcher } from './matchers.ts';
import { fractionalPercent } from './scalars.ts';
import type { CompileScope } from './scope.ts';
import { compileTypedConfig, openExpected, unknownExtension } from './typed-config.ts';

type FilterMessage = protos.envoy.config.accesslog.v3.AccessLogFilter;

/** `path` is that of the list. */
export function compileAccessLogs(
  messages: readonly protos.envoy.config.accesslog.v3.AccessLog[],
  path: string,
  scope: CompileScope,
): readonly AccessLogModel[] {
  return messages.map((message, i) => compileAccessLog(message, `${path}[${i}]`, scope));
}

function compileAccessLog(
  message: protos.envoy.config.accesslog.v3.AccessLog,
  path: string,
  scope: CompileScope,
): AccessLogModel {
  const compiled = compileTypedConfig(
    scope.context.extensions.accessLoggers,
    message.typed_config,
    `${path}.typed_config`,
    scope,
  );
  if (compiled === null) throw unknownExtension('access logger', message.name, message.typed_config, path);
  const filter = message.filter === null ? null : compileAccessLogFilter(message.filter, `${path}.filter`, scope);
  const sink = compiled.config;
  if (sink.kind === 'file') return { ...sink, filter };
  scope.warn(path, `access logger ${message.name} is not implemented: accepted without effect`);
  return sink;
}

const comparisons = ['eq', 'ge', 'le', 'ne'] as const;

function compileComparison(
  message: protos.envoy.config.accesslog.v3.ComparisonFilter | null,
  kind: 'status' | 'duration',
  path: string,
): AccessLogFilter {
  if (message?.value == null) throw new ConfigError(path, 'value is required');
  return { kind, op: comparisons[message.op], value: message.value.default_value };
}

function compileList(kind: 'and' | 'or', messages: readonly FilterMessage[], path: string, scope: CompileScope): AccessLogFilter {
  if (messages.length < 2) throw new ConfigError(`${path}.filters`, 'value must contain at least 2 item(s)');
  return { kind, filters: messages.map((message, i) => compileAccessLogFilter(message, `${path}.filters[${i}]`, scope)) };
}

/** Also of local replies. */
export function compileAccessLogFilter(message: FilterMessage, path: string, scope: CompileScope): AccessLogFilter {
  const kind = message.filter_specifier;
  const own = `${path}.${kind}`;
  switch (kind) {
    case 'status_code_filter':
      return compileComparison(message.status_code_filter!.comparison, 'status', `${own}.comparison`);
    case 'duration_filter':
      return compileComparison(message.duration_filter!.comparison, 'duration', `${own}.comparison`);
    case 'not_health_check_filter':
      return { kind: 'not-health-check' };
    case 'traceable_filter':
      return { kind: 'traceable' };
    case 'runtime_filter': {
      const { percent_sampled, runtime_key } = message.runtime_filter!;
      if (percent_sampled === null)
        return { kind: 'runtime', percent: { numerator: 0, denominator: 100, runtimeKey: runtime_key } };
      return { kind: 'runtime', percent: fractionalPercent(percent_sampled, runtime_key, `${own}.percent_sampled`) };
    }
    case 'and_filter':
      return compileList('and', message.and_filter!.filters, own, scope);
    case 'or_filter':
      return compileList('or', message.or_filter!.filters, own, scope);
    case 'header_filter': {
      const header = message.header_filter!.header;
      if (header === null) throw new ConfigError(`${own}.header`, 'value is required');
      return { kind: 'header', header: compileHeaderMatcher(header, `${own}.header`, scope) };
    }
    case 'response_flag_filter':
      return {
        kind: 'response-flag',
        flags: message.response_flag_filter!.flags.map((flag, i) => requireFlag(flag, `${own}.flags[${i}]`)),
      };
    case 'grpc_status_filter':
      return {
        kind: 'grpc-status',
        statuses: message.grpc_status_filter!.statuses,
        exclude: message.grpc_status_filter!.exclude,
      };
    case 'extension_filter':
      return compileExtensionFilter(message.extension_filter!, own, scope);
    default:
      throw new ConfigError(path, 'filter_specifier is required');
  }
}

function requireFlag(flag: string, path: string): string {
  if (!responseFlagBits.has(flag)) throw new ConfigError(path, `value must be a known response flag, not '${flag}'`);
  return flag;
}

const celFilter = 'envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter';

function compileExtensionFilter(
  message: protos.envoy.config.accesslog.v3.ExtensionFilter,
  path: string,
  scope: CompileScope,
): AccessLogFilter {
  if (message.typed_config === null) throw unknownExtension('access log filter', message.name, null, path);
  const filter = openExpected(message.typed_config, celFilter, `${path}.typed_config`, scope);
  const { expression } = filter as { expression: string };
  try {
    compileCel(expression);
  } catch (error) {
    throw new ConfigError(`${path}.typed_config.expression`, `not a valid CEL expression: ${(error as Error).message}`);
  }
  return { kind: 'cel', expression };
}
