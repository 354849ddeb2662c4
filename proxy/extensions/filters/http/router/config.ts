/** `envoy.filters.http.router`: the terminal HTTP filter. */
import { classify } from '../../../../config/compile/field-table.ts';
import { defineHttpFilter } from '../../../../config/compile/extension.ts';
import { unwrap } from '../../../../config/compile/scalars.ts';

export interface RouterModel {
  readonly dynamicStats: boolean;
  readonly suppressEnvoyHeaders: boolean;
  /** Names of `x-envoy-*` request headers whose values must be valid, else 400. */
  readonly strictCheckHeaders: readonly string[];
  readonly respectExpectedRequestTimeout: boolean;
}

export const routerFilter = defineHttpFilter({
  kind: 'envoy.filters.http.router',
  message: 'envoy.extensions.filters.http.router.v3.Router',
  terminal: true,
  compile(message): RouterModel {
    return {
      dynamicStats: unwrap(message.dynamic_stats, true),
      suppressEnvoyHeaders: message.suppress_envoy_headers,
      strictCheckHeaders: message.strict_check_headers,
      respectExpectedRequestTimeout: message.respect_expected_rq_timeout,
    };
  },
  fields: {
    'envoy.extensions.filters.http.router.v3.Router': classify({
      implemented: 'dynamic_stats suppress_envoy_headers strict_check_headers respect_expected_rq_timeout',
      ignored: {
        start_child_span: 'no tracer is implemented',
        suppress_grpc_request_failure_code_stats: 'the statistics it suppresses are not kept',
      },
      rejected: 'upstream_log upstream_log_options upstream_http_filters',
    }),
  },
});
