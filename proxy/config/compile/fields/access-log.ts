/** Classes of `envoy.config.accesslog.v3`. */
import { classify, type FieldTable } from '../field-table.ts';

export const accessLogFields: FieldTable = {
  'envoy.config.accesslog.v3.AccessLog': classify({ implemented: 'name filter typed_config' }),
  'envoy.config.accesslog.v3.AccessLogFilter': classify({
    implemented: `status_code_filter duration_filter not_health_check_filter traceable_filter runtime_filter and_filter or_filter
      header_filter response_flag_filter grpc_status_filter extension_filter`,
    rejected: 'metadata_filter log_type_filter',
  }),
  'envoy.config.accesslog.v3.StatusCodeFilter': classify({ implemented: 'comparison' }),
  'envoy.config.accesslog.v3.DurationFilter': classify({ implemented: 'comparison' }),
  'envoy.config.accesslog.v3.ComparisonFilter': classify({ implemented: 'op value' }),
  'envoy.config.accesslog.v3.NotHealthCheckFilter': classify({}),
  'envoy.config.accesslog.v3.TraceableFilter': classify({}),
  'envoy.config.accesslog.v3.RuntimeFilter': classify({
    implemented: 'runtime_key percent_sampled',
    ignored: { use_independent_randomness: 'the sample is always drawn independently' },
  }),
  'envoy.config.accesslog.v3.AndFilter': classify({ implemented: 'filters' }),
  'envoy.config.accesslog.v3.OrFilter': classify({ implemented: 'filters' }),
  'envoy.config.accesslog.v3.HeaderFilter': classify({ implemented: 'header' }),
  'envoy.config.accesslog.v3.ResponseFlagFilter': classify({ implemented: 'flags' }),
  'envoy.config.accesslog.v3.GrpcStatusFilter': classify({ implemented: 'statuses exclude' }),
  'envoy.config.accesslog.v3.ExtensionFilter': classify({ implemented: 'name typed_config' }),
  'envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter': classify({ implemented: 'expression' }),
};
