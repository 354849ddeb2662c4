/** `envoy.filters.http.fault`: delays and aborts, of the filter or of a route. */
import type { protos } from '../../../../../protos/messages.ts';
import { ConfigError } from '../../../../config/compile/config-error.ts';
import { classify } from '../../../../config/compile/field-table.ts';
import { defineExtension, defineHttpFilter } from '../../../../config/compile/extension.ts';
import { compileHeaderMatchers } from '../../../../config/compile/matchers.ts';
import { fractionalPercent, positiveDurationMs, requireRange } from '../../../../config/compile/scalars.ts';
import type { CompileScope } from '../../../../config/compile/scope.ts';
import type { FractionalPercent, HeaderMatcher } from '../../../../config/model/matchers.ts';

export interface FaultModel {
  /** `delayMs` null: from the header `x-envoy-fault-delay-request`. */
  readonly delay: { readonly delayMs: number | null; readonly percentage: FractionalPercent } | null;
  readonly abort: {
    readonly kind: 'http' | 'grpc' | 'header';
    /** HTTP or gRPC status; 0 for `header`. */
    readonly status: number;
    readonly percentage: FractionalPercent;
  } | null;
  /** Only for this cluster; empty: any. */
  readonly upstreamCluster: string;
  readonly headers: readonly HeaderMatcher[];
  /** Only for these values of `x-envoy-downstream-service-node`; empty: any. */
  readonly downstreamNodes: readonly string[];
  /** Infinity has no place in JSON: 2^53 - 1 is no limit. */
  readonly maxActiveFaults: number;
}

type HTTPFault = protos.envoy.extensions.filters.http.fault.v3.HTTPFault;

const noFraction: FractionalPercent = { numerator: 0, denominator: 100, runtimeKey: '' };

function compilePercentage(
  message: protos.envoy.type.v3.FractionalPercent | null,
  runtimeKey: string,
  path: string,
): FractionalPercent {
  return message === null ? { ...noFraction, runtimeKey } : fractionalPercent(message, runtimeKey, `${path}.percentage`);
}

function compileDelay(message: HTTPFault, path: string): FaultModel['delay'] {
  const { delay } = message;
  if (delay === null) return null;
  const percentage = compilePercentage(
    delay.percentage,
    message.delay_percent_runtime || 'fault.http.delay.fixed_delay_percent',
    path,
  );
  if (delay.fault_delay_secifier === 'header_delay') return { delayMs: null, percentage };
  if (delay.fixed_delay === null) throw new ConfigError(`${path}.fault_delay_secifier`, 'value is required');
  return { delayMs: positiveDurationMs(delay.fixed_delay, 0, `${path}.fixed_delay`), percentage };
}

function compileAbort(message: HTTPFault, path: string): FaultModel['abort'] {
  const { abort } = message;
  if (abort === null) return null;
  const percentage = compilePercentage(abort.percentage, message.abort_percent_runtime || 'fault.http.abort.abort_percent', path);
  switch (abort.error_type) {
    case 'http_status':
      return { kind: 'http', status: requireRange(abort.http_status ?? 0, 200, 599, `${path}.http_status`), percentage };
    case 'grpc_status':
      return { kind: 'grpc', status: abort.grpc_status ?? 0, percentage };
    case 'header_abort':
      return { kind: 'header', status: 0, percentage };
    default:
      throw new ConfigError(`${path}.error_type`, 'value is required');
  }
}

function compileFault(message: HTTPFault, path: string, scope: CompileScope): FaultModel {
  return {
    delay: compileDelay(message, `${path}.delay`),
    abort: compileAbort(message, `${path}.abort`),
    upstreamCluster: message.upstream_cluster,
    headers: compileHeaderMatchers(message.headers, `${path}.headers`, scope),
    downstreamNodes: message.downstream_nodes,
    maxActiveFaults: message.max_active_faults === null ? Number.MAX_SAFE_INTEGER : message.max_active_faults.value,
  };
}

const faultFields = {
  'envoy.extensions.filters.http.fault.v3.HTTPFault': classify({
    implemented:
      'delay abort upstream_cluster headers downstream_nodes max_active_faults delay_percent_runtime abort_percent_runtime',
    ignored: {
      delay_duration_runtime: 'runtime keys override percentages only',
      abort_http_status_runtime: 'runtime keys override percentages only',
      abort_grpc_status_runtime: 'runtime keys override percentages only',
      max_active_faults_runtime: 'runtime keys override percentages only',
      response_rate_limit_percent_runtime: 'response rate limits are refused',
      disable_downstream_cluster_stats: 'statistics per downstream cluster are not kept',
      filter_metadata: 'seen only by extensions that do not exist here',
    },
    rejected: 'response_rate_limit',
  }),
  'envoy.extensions.filters.http.fault.v3.FaultAbort': classify({
    implemented: 'http_status grpc_status header_abort percentage',
  }),
  'envoy.extensions.filters.http.fault.v3.FaultAbort.HeaderAbort': classify({}),
  'envoy.extensions.filters.common.fault.v3.FaultDelay': classify({ implemented: 'fixed_delay header_delay percentage' }),
  'envoy.extensions.filters.common.fault.v3.FaultDelay.HeaderDelay': classify({}),
};

const kind = 'envoy.filters.http.fault';
const message = 'envoy.extensions.filters.http.fault.v3.HTTPFault';

export const faultFilter = defineHttpFilter({
  kind,
  message,
  compile: compileFault,
  fields: faultFields,
  perRoute: [defineExtension({ kind, message, compile: compileFault, fields: faultFields })],
});
