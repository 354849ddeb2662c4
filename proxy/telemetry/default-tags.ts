/**
 * Envoy's built-in tag extractions, in order of use.
 *
 * Source: Envoy, "Statistics", well-known tag names.
 */

const address = String.raw`(?:(?:\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[[a-fA-F_\d]+\])_\d+)`;
const value = '[^.]+';

/** Tag name, regex; the third element names a value that is no tag. */
export const defaultTagRegexes: readonly (readonly [name: string, regex: string, except?: string])[] = [
  ['envoy.response_code', String.raw`_rq(_(\d{3}))$`],
  ['envoy.response_code_class', String.raw`_rq_((\d))xx$`],
  [
    'envoy.dynamo_partition_id',
    String.raw`^http\.${value}\.dynamodb\.table\.${value}\.capacity\.${value}(\.__partition_id=(\w{7}))$`,
  ],
  ['envoy.dynamo_operation', String.raw`^http\.${value}\.dynamodb.(?:operation|table\.${value}\.capacity)(\.(${value}))(?:\.|$)`],
  ['envoy.dynamo_table', String.raw`^http\.${value}\.dynamodb.(?:table|error)\.((${value})\.)`],
  ['envoy.ssl_cipher', String.raw`^listener\..*?\.ssl\.ciphers(\.([\w-]+))$`],
  ['envoy.ssl_curve', String.raw`^(?:listener|cluster)\..*?\.ssl\.curves(\.([\w-]+))$`],
  ['envoy.ssl_sigalg', String.raw`^(?:listener|cluster)\..*?\.ssl\.sigalgs(\.([\w-]+))$`],
  ['envoy.tls_certificate', String.raw`^(?:listener|cluster)\..*?\.ssl\.certificate(\.(${value}))\.`],
  ['envoy.ssl_version', String.raw`^(?:listener|cluster)\..*?\.ssl\.versions(\.(TLSv\d\.\d))$`],
  ['cipher_suite', String.raw`^cluster\.${value}\.ssl\.ciphers(\.([\w-]+))$`],
  ['envoy.http_conn_manager_prefix', String.raw`^listener\..*?\.http\.((${value})\.)`],
  [
    'envoy.worker_id',
    String.raw`^(?:listener\.(?:${address}|${value})\.|server\.|listener_manager\.|thread_local_cluster_manager\.)worker_((\d+)\.)`,
  ],
  ['envoy.listener_address', String.raw`^listener\.((${address}|${value})\.)`, 'admin'],
  ['envoy.rds_route_config', String.raw`^http\.${value}\.rds\.(([\w\-.]+)\.)\w+?$`],
];

/** Tag name, tokens: `$` is the value, `*` any one token, `**` any rest. */
export const defaultTagTokens: readonly (readonly [name: string, tokens: string])[] = [
  ['envoy.mongo_callsite', 'mongo.*.collection.*.callsite.$.query.**'],
  ['envoy.mongo_collection', 'mongo.*.collection.$.**.query.*'],
  ['envoy.mongo_cmd', 'mongo.*.cmd.$.**'],
  ['envoy.grpc_bridge_method', 'cluster.*.grpc.*.$.**'],
  ['envoy.http_user_agent', 'http.*.user_agent.$.**'],
  ['envoy.virtual_cluster', 'vhost.*.vcluster.$.**'],
  ['envoy.fault_downstream_cluster', 'http.*.fault.$.**'],
  ['envoy.grpc_bridge_service', 'cluster.*.grpc.$.**'],
  ['envoy.tcp_prefix', 'tcp.$.**'],
  ['envoy.udp_prefix', 'udp.$.**'],
  ['envoy.clientssl_prefix', 'auth.clientssl.$.**'],
  ['envoy.ratelimit_prefix', 'ratelimit.$.**'],
  ['envoy.cluster_name', 'cluster.$.**'],
  ['envoy.ext_authz_prefix', 'cluster.*.ext_authz.$.**'],
  ['envoy.ext_authz_prefix', 'http.*.ext_authz.$.**'],
  ['envoy.http_conn_manager_prefix', 'http.$.**'],
  ['envoy.virtual_host', 'vhost.$.**'],
  ['envoy.mongo_prefix', 'mongo.$.**'],
  ['envoy.route', 'vhost.*.route.$.**'],
  ['envoy.thrift_prefix', 'thrift.$.**'],
  ['envoy.redis_prefix', 'redis.$.**'],
  ['envoy.local_http_ratelimit_prefix', '$.http_local_rate_limit.**'],
  ['envoy.local_network_ratelimit_prefix', 'local_rate_limit.$.**'],
  ['envoy.local_listener_ratelimit_prefix', 'listener_local_ratelimit.$.**'],
  ['envoy.dns_filter_prefix', 'dns_filter.$.**'],
];
