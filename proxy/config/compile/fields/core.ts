/** Classes of `envoy.config.core.v3` and of the types and matchers that every resource uses. */
import { classify, type FieldTable } from '../field-table.ts';

const noWatch = 'the file is read again with the resource; files of secrets from SDS are watched in any case';

export const coreTypeFields: FieldTable = {
  'envoy.config.core.v3.Address': classify({ implemented: 'socket_address pipe envoy_internal_address' }),
  'envoy.config.core.v3.EnvoyInternalAddress': classify({ implemented: 'server_listener_name endpoint_id' }),
  'envoy.config.core.v3.SocketAddress': classify({
    implemented: 'protocol address port_value ipv4_compat',
    rejected: 'named_port resolver_name',
  }),
  'envoy.config.core.v3.Pipe': classify({ implemented: 'path mode' }),
  'envoy.config.core.v3.CidrRange': classify({ implemented: 'address_prefix prefix_len' }),
  'envoy.config.core.v3.Metadata': classify({
    implemented: 'filter_metadata',
    ignored: { typed_filter_metadata: 'no extension here reads typed metadata' },
  }),
  'envoy.type.metadata.v3.MetadataKey': classify({ implemented: 'key path' }),
  'envoy.type.metadata.v3.MetadataKey.PathSegment': classify({ implemented: 'key' }),
  'envoy.type.metadata.v3.MetadataKind': classify({ implemented: 'host cluster', rejected: 'request route' }),
  'envoy.type.metadata.v3.MetadataKind.Host': classify({}),
  'envoy.type.metadata.v3.MetadataKind.Cluster': classify({}),
  'envoy.config.core.v3.Locality': classify({ implemented: 'region zone sub_zone' }),
  'envoy.config.core.v3.TransportSocket': classify({ implemented: 'name typed_config' }),
  'envoy.config.core.v3.TypedExtensionConfig': classify({ implemented: 'name typed_config' }),
  'envoy.config.core.v3.DataSource': classify({
    implemented: 'filename inline_bytes inline_string environment_variable',
    ignored: { watched_directory: noWatch },
  }),
  'envoy.config.core.v3.HeaderValue': classify({ implemented: 'key value', rejected: 'raw_value' }),
  'envoy.config.core.v3.HeaderValueOption': classify({ implemented: 'header append append_action keep_empty_value' }),
  'envoy.config.core.v3.RuntimeUInt32': classify({
    implemented: 'default_value',
    ignored: { runtime_key: 'only defaults apply' },
  }),
  'envoy.config.core.v3.RuntimeDouble': classify({
    implemented: 'default_value',
    ignored: { runtime_key: 'only defaults apply' },
  }),
  'envoy.config.core.v3.RuntimeFractionalPercent': classify({ implemented: 'default_value runtime_key' }),
  'envoy.config.core.v3.RuntimeFeatureFlag': classify({ implemented: 'default_value runtime_key' }),
  'envoy.config.core.v3.WatchedDirectory': classify({ implemented: 'path' }),
  'envoy.config.core.v3.TcpKeepalive': classify({ implemented: 'keepalive_probes keepalive_time keepalive_interval' }),
  'envoy.config.core.v3.SocketOption': classify({
    implemented: 'level name int_value buf_value state',
    ignored: { description: 'only a remark' },
  }),
  'envoy.config.core.v3.BindConfig': classify({
    implemented: 'source_address freebind extra_source_addresses additional_source_addresses socket_options',
    rejected: 'local_address_selector',
  }),
  'envoy.config.core.v3.ExtraSourceAddress': classify({ implemented: 'address', rejected: 'socket_options' }),
  'envoy.config.core.v3.SubstitutionFormatString': classify({
    implemented: 'text_format json_format text_format_source omit_empty_values formatters content_type',
    ignored: { json_format_options: 'keys keep the order that Envoy gives them' },
  }),
  'envoy.type.v3.FractionalPercent': classify({ implemented: 'numerator denominator' }),
  'envoy.type.v3.Percent': classify({ implemented: 'value' }),
  'envoy.type.v3.Int32Range': classify({ implemented: 'start end' }),
  'envoy.type.v3.Int64Range': classify({ implemented: 'start end' }),
  'envoy.type.v3.DoubleRange': classify({ implemented: 'start end' }),
  'envoy.type.matcher.v3.StringMatcher': classify({
    implemented: 'exact prefix suffix safe_regex contains ignore_case',
    rejected: 'custom',
  }),
  'envoy.type.matcher.v3.RegexMatcher': classify({ implemented: 'google_re2 regex' }),
  'envoy.type.matcher.v3.RegexMatcher.GoogleRE2': classify({ implemented: 'max_program_size' }),
  'envoy.type.matcher.v3.RegexMatchAndSubstitute': classify({ implemented: 'pattern substitution' }),
  'envoy.type.matcher.v3.MetadataMatcher': classify({ implemented: 'filter path value invert' }),
  'envoy.type.matcher.v3.MetadataMatcher.PathSegment': classify({ implemented: 'key' }),
  'envoy.type.matcher.v3.ValueMatcher': classify({
    implemented: 'null_match double_match string_match bool_match present_match list_match or_match',
  }),
  'envoy.type.matcher.v3.ValueMatcher.NullMatch': classify({}),
  'envoy.type.matcher.v3.DoubleMatcher': classify({ implemented: 'range exact' }),
  'envoy.type.matcher.v3.ListMatcher': classify({ implemented: 'one_of' }),
  'envoy.type.matcher.v3.OrMatcher': classify({ implemented: 'value_matchers' }),
  'envoy.type.matcher.v3.ListStringMatcher': classify({ implemented: 'patterns' }),
};

/** Where resources and secrets come from. */
export const configSourceFields: FieldTable = {
  'envoy.config.core.v3.ConfigSource': classify({
    implemented: 'path path_config_source api_config_source ads initial_fetch_timeout resource_api_version',
    rejected: 'authorities self',
  }),
  'envoy.config.core.v3.ExtensionConfigSource': classify({
    implemented: 'config_source default_config apply_default_config_without_warming type_urls',
  }),
  'envoy.config.core.v3.PathConfigSource': classify({ implemented: 'path watched_directory' }),
  'envoy.config.core.v3.AggregatedConfigSource': classify({}),
  'envoy.config.core.v3.ApiConfigSource': classify({
    implemented: 'api_type transport_api_version grpc_services set_node_on_first_message_only',
    ignored: {
      refresh_delay: 'only streams are used, nothing is polled',
      request_timeout: 'only streams are used, nothing is polled',
      rate_limit_settings: 'requests are sent on changes only',
    },
    rejected: 'cluster_names config_validators',
  }),
  'envoy.config.core.v3.GrpcService': classify({
    implemented: 'envoy_grpc initial_metadata',
    ignored: { timeout: 'a stream has no deadline' },
    rejected: 'google_grpc retry_policy',
  }),
  'envoy.config.core.v3.GrpcService.EnvoyGrpc': classify({
    implemented: 'cluster_name',
    ignored: {
      authority: 'the authority is the name of the cluster, which is the default',
      max_receive_message_length: 'messages of any size are received',
      skip_envoy_headers: 'no x-envoy headers are sent on this channel',
    },
    rejected: 'retry_policy',
  }),
};
