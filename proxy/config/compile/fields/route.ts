/** Classes of `envoy.config.route.v3`. */
import { classify, type FieldTable } from '../field-table.ts';

const noTracer = 'no tracer is implemented';
const headerEdits = 'request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove';

const routeLevels: FieldTable = {
  'envoy.config.route.v3.RouteConfiguration': classify({
    implemented: `name virtual_hosts ${headerEdits} most_specific_header_mutations_wins max_direct_response_body_size_bytes
      ignore_port_in_host_matching typed_per_filter_config request_mirror_policies validate_clusters
      ignore_path_parameters_in_path_matching`,
    ignored: {
      metadata: 'no extension here reads it',
    },
    rejected: 'vhds internal_only_headers cluster_specifier_plugins',
  }),
  'envoy.config.route.v3.VirtualHost': classify({
    implemented: `name domains routes require_tls ${headerEdits} typed_per_filter_config include_request_attempt_count
      include_attempt_count_in_response retry_policy request_mirror_policies metadata rate_limits
      hedge_policy include_is_timeout_retry_header per_request_buffer_limit_bytes request_body_buffer_limit`,
    ignored: { virtual_clusters: 'statistics only' },
    rejected: 'matcher cors retry_policy_typed_config',
  }),
  'envoy.config.route.v3.Route': classify({
    implemented: `name match route redirect direct_response metadata decorator typed_per_filter_config ${headerEdits} stat_prefix
      per_request_buffer_limit_bytes request_body_buffer_limit`,
    ignored: { tracing: noTracer },
    rejected: 'filter_action non_forwarding_action',
  }),
  'envoy.config.route.v3.Decorator': classify({ implemented: 'operation propagate' }),
  'envoy.config.route.v3.RouteMatch': classify({
    implemented: `prefix path safe_regex connect_matcher path_separated_prefix case_sensitive runtime_fraction headers
      query_parameters grpc dynamic_metadata tls_context`,
    rejected: 'path_match_policy',
  }),
  'envoy.config.route.v3.RouteMatch.TlsContextMatchOptions': classify({ implemented: 'presented validated' }),
  'envoy.config.route.v3.RouteMatch.ConnectMatcher': classify({}),
  'envoy.config.route.v3.RouteMatch.GrpcRouteMatchOptions': classify({}),
  'envoy.config.route.v3.HeaderMatcher': classify({
    implemented: `name exact_match safe_regex_match range_match present_match prefix_match suffix_match contains_match
      string_match invert_match treat_missing_header_as_empty`,
  }),
  'envoy.config.route.v3.QueryParameterMatcher': classify({ implemented: 'name string_match present_match' }),
  'envoy.config.route.v3.RedirectAction': classify({
    implemented: `https_redirect scheme_redirect host_redirect port_redirect path_redirect prefix_rewrite regex_rewrite
      response_code strip_query`,
  }),
  'envoy.config.route.v3.DirectResponseAction': classify({ implemented: 'status body' }),
  // Wraps the configuration of a filter on a level; not a message of a resource by itself.
  'envoy.config.route.v3.FilterConfig': classify({ implemented: 'config is_optional disabled' }),
};

const actions: FieldTable = {
  'envoy.config.route.v3.RouteAction': classify({
    implemented: `cluster cluster_header weighted_clusters cluster_not_found_response_code metadata_match prefix_rewrite
      regex_rewrite host_rewrite_literal auto_host_rewrite host_rewrite_header host_rewrite_path_regex append_x_forwarded_host
      timeout idle_timeout retry_policy request_mirror_policies priority hash_policy max_grpc_timeout grpc_timeout_offset
      upgrade_configs max_stream_duration rate_limits include_vh_rate_limits
      internal_redirect_policy hedge_policy path_rewrite`,
    ignored: { early_data_policy: 'early data is never accepted' },
    rejected: `cluster_specifier_plugin inline_cluster_specifier_plugin path_rewrite_policy retry_policy_typed_config
      cors internal_redirect_action max_internal_redirects`,
  }),
  'envoy.config.route.v3.RouteAction.MaxStreamDuration': classify({
    implemented: 'max_stream_duration grpc_timeout_header_max grpc_timeout_header_offset',
  }),
  'envoy.config.route.v3.RouteAction.UpgradeConfig': classify({
    implemented: 'upgrade_type enabled connect_config',
  }),
  'envoy.config.route.v3.RouteAction.UpgradeConfig.ConnectConfig': classify({
    implemented: 'proxy_protocol_config allow_post',
  }),
  'envoy.config.route.v3.RouteAction.RequestMirrorPolicy': classify({
    implemented: `cluster cluster_header runtime_fraction disable_shadow_host_suffix_append request_headers_mutations
      host_rewrite_literal`,
    ignored: { trace_sampled: noTracer },
  }),
  'envoy.config.route.v3.WeightedCluster': classify({
    implemented: 'clusters header_name',
    ignored: { total_weight: 'the sum of the weights counts', runtime_key_prefix: 'weights come from the route only' },
  }),
  'envoy.config.route.v3.WeightedCluster.ClusterWeight': classify({
    implemented: `name cluster_header weight ${headerEdits} typed_per_filter_config host_rewrite_literal metadata_match`,
  }),
  'envoy.config.route.v3.RouteAction.HashPolicy': classify({
    implemented: 'header cookie connection_properties query_parameter filter_state terminal',
  }),
  'envoy.config.route.v3.RouteAction.HashPolicy.Header': classify({ implemented: 'header_name regex_rewrite' }),
  'envoy.config.route.v3.RouteAction.HashPolicy.Cookie': classify({ implemented: 'name ttl path attributes' }),
  'envoy.config.route.v3.RouteAction.HashPolicy.CookieAttribute': classify({ implemented: 'name value' }),
  'envoy.config.route.v3.RouteAction.HashPolicy.ConnectionProperties': classify({ implemented: 'source_ip' }),
  'envoy.config.route.v3.RouteAction.HashPolicy.FilterState': classify({ implemented: 'key' }),
  'envoy.config.common.mutation_rules.v3.HeaderMutation': classify({ implemented: 'remove append' }),
  'envoy.config.route.v3.RouteAction.HashPolicy.QueryParameter': classify({ implemented: 'name' }),
};

const retries: FieldTable = {
  'envoy.config.route.v3.RetryPolicy': classify({
    implemented: `retry_on num_retries per_try_timeout per_try_idle_timeout retry_priority retry_host_predicate
      host_selection_retry_max_attempts retriable_status_codes retry_back_off rate_limited_retry_back_off retriable_headers
      retriable_request_headers`,
    rejected: 'retry_options_predicates',
  }),
  'envoy.config.route.v3.HedgePolicy': classify({
    implemented: 'hedge_on_per_try_timeout initial_requests',
    ignored: { additional_request_chance: 'Envoy accepts it without effect too' },
  }),
  'envoy.config.route.v3.InternalRedirectPolicy': classify({
    implemented: `max_internal_redirects redirect_response_codes predicates allow_cross_scheme_redirect
      response_headers_to_copy`,
  }),
  'envoy.extensions.internal_redirect.previous_routes.v3.PreviousRoutesConfig': classify({}),
  'envoy.extensions.internal_redirect.safe_cross_scheme.v3.SafeCrossSchemeConfig': classify({}),
  'envoy.extensions.internal_redirect.allow_listed_routes.v3.AllowListedRoutesConfig': classify({
    implemented: 'allowed_route_names',
  }),
  'envoy.config.route.v3.RetryPolicy.RetryPriority': classify({ implemented: 'name typed_config' }),
  'envoy.config.route.v3.RetryPolicy.RetryHostPredicate': classify({ implemented: 'name typed_config' }),
  'envoy.config.route.v3.RetryPolicy.RetryBackOff': classify({ implemented: 'base_interval max_interval' }),
  'envoy.config.route.v3.RetryPolicy.RateLimitedRetryBackOff': classify({ implemented: 'reset_headers max_interval' }),
  'envoy.config.route.v3.RetryPolicy.ResetHeader': classify({ implemented: 'name format' }),
  'envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate': classify({}),
  'envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig': classify({
    implemented: 'update_frequency',
  }),
};

const rateLimits: FieldTable = {
  'envoy.config.route.v3.RateLimit': classify({
    implemented: 'stage disable_key actions',
    ignored: {
      limit: 'for a rate limit service; the local rate limit has its own',
      x_ratelimit_option: 'the filter says whether there are such headers',
    },
    rejected: 'apply_on_stream_done',
  }),
  'envoy.config.route.v3.RateLimit.Action': classify({
    implemented: `source_cluster destination_cluster request_headers remote_address generic_key header_value_match metadata
      masked_remote_address query_parameter_value_match`,
    rejected: 'dynamic_metadata extension',
  }),
  'envoy.config.route.v3.RateLimit.Action.SourceCluster': classify({}),
  'envoy.config.route.v3.RateLimit.Action.DestinationCluster': classify({}),
  'envoy.config.route.v3.RateLimit.Action.RequestHeaders': classify({
    implemented: 'header_name descriptor_key skip_if_absent',
  }),
  'envoy.config.route.v3.RateLimit.Action.RemoteAddress': classify({}),
  'envoy.config.route.v3.RateLimit.Action.MaskedRemoteAddress': classify({
    implemented: 'v4_prefix_mask_len v6_prefix_mask_len',
  }),
  'envoy.config.route.v3.RateLimit.Action.GenericKey': classify({ implemented: 'descriptor_value descriptor_key' }),
  'envoy.config.route.v3.RateLimit.Action.HeaderValueMatch': classify({
    implemented: 'descriptor_key descriptor_value expect_match headers',
  }),
  'envoy.config.route.v3.RateLimit.Action.QueryParameterValueMatch': classify({
    implemented: 'descriptor_key descriptor_value expect_match query_parameters',
  }),
  'envoy.config.route.v3.RateLimit.Action.MetaData': classify({
    implemented: 'descriptor_key metadata_key default_value source skip_if_absent',
  }),
  'envoy.type.metadata.v3.MetadataKey': classify({ implemented: 'key path' }),
  'envoy.type.metadata.v3.MetadataKey.PathSegment': classify({ implemented: 'key' }),
  'envoy.type.v3.TokenBucket': classify({ implemented: 'max_tokens tokens_per_fill fill_interval' }),
};

export const routeFields: FieldTable = { ...routeLevels, ...actions, ...retries, ...rateLimits };
