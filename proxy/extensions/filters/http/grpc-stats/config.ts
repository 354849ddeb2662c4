/** `envoy.filters.http.grpc_stats`: counts gRPC calls and messages. */
import { classify } from '../../../../config/compile/field-table.ts';
import { defineHttpFilter } from '../../../../config/compile/extension.ts';
import { unwrap } from '../../../../config/compile/scalars.ts';

export interface GrpcStatsModel {
  readonly emitFilterState: boolean;
  /** Counters per service and method, not only per cluster. */
  readonly statsForAllMethods: boolean;
  readonly replaceDotsInServiceName: boolean;
}

export const grpcStatsFilter = defineHttpFilter({
  kind: 'envoy.filters.http.grpc_stats',
  message: 'envoy.extensions.filters.http.grpc_stats.v3.FilterConfig',
  compile(message): GrpcStatsModel {
    return {
      emitFilterState: message.emit_filter_state,
      statsForAllMethods: unwrap(message.stats_for_all_methods, false),
      replaceDotsInServiceName: message.replace_dots_in_grpc_service_name,
    };
  },
  fields: {
    'envoy.extensions.filters.http.grpc_stats.v3.FilterConfig': classify({
      implemented: 'emit_filter_state stats_for_all_methods replace_dots_in_grpc_service_name',
      ignored: { enable_upstream_stats: 'the histogram of upstream request time per method is not kept' },
      rejected: 'individual_method_stats_allowlist',
    }),
  },
});
