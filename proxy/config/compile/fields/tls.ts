/** Classes of `envoy.extensions.transport_sockets.tls.v3`. A security setting is never without effect. */
import { classify, type FieldTable } from '../field-table.ts';

export const tlsFields: FieldTable = {
  'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer': classify({}),
  'envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport': classify({
    implemented: 'config transport_socket',
  }),
  'envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport': classify({
    implemented: 'passthrough_metadata transport_socket',
  }),
  'envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport.MetadataValueSource': classify({
    implemented: 'kind name',
  }),
  'envoy.config.core.v3.ProxyProtocolConfig': classify({ implemented: 'version', rejected: 'pass_through_tlvs' }),
  'envoy.extensions.transport_sockets.tls.v3.Secret': classify({
    implemented: 'name tls_certificate validation_context',
    rejected: 'session_ticket_keys generic_secret',
  }),
  'envoy.extensions.transport_sockets.tls.v3.TlsCertificate': classify({
    implemented: 'certificate_chain private_key password watched_directory',
    rejected: 'pkcs12 private_key_provider ocsp_staple signed_certificate_timestamp',
  }),
  'envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext': classify({
    implemented: `trusted_ca verify_certificate_spki verify_certificate_hash match_typed_subject_alt_names
      match_subject_alt_names crl trust_chain_verification watched_directory`,
    rejected: `ca_certificate_provider_instance system_root_certs require_signed_certificate_timestamp allow_expired_certificate
      custom_validator_config only_verify_leaf_cert_crl max_verify_depth`,
  }),
  'envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher': classify({
    implemented: 'san_type matcher',
    rejected: 'oid',
  }),
  'envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig': classify({ implemented: 'name sds_config' }),
  'envoy.extensions.transport_sockets.tls.v3.TlsParameters': classify({
    implemented: 'tls_minimum_protocol_version tls_maximum_protocol_version cipher_suites ecdh_curves',
    rejected: 'signature_algorithms',
  }),
  'envoy.extensions.transport_sockets.tls.v3.CommonTlsContext': classify({
    implemented: `tls_params tls_certificates tls_certificate_sds_secret_configs validation_context
      validation_context_sds_secret_config combined_validation_context alpn_protocols`,
    rejected: `tls_certificate_provider_instance tls_certificate_certificate_provider
      tls_certificate_certificate_provider_instance validation_context_certificate_provider
      validation_context_certificate_provider_instance custom_handshaker key_log`,
  }),
  'envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.CombinedCertificateValidationContext': classify({
    implemented: 'default_validation_context validation_context_sds_secret_config',
    rejected: 'validation_context_certificate_provider validation_context_certificate_provider_instance',
  }),
  'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext': classify({
    implemented: 'common_tls_context require_client_certificate session_timeout',
    rejected: `disable_stateless_session_resumption require_sni session_ticket_keys session_ticket_keys_sds_secret_config disable_stateful_session_resumption
      ocsp_staple_policy full_scan_certs_on_sni_mismatch`,
  }),
  'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext': classify({
    implemented: 'common_tls_context sni max_session_keys',
    rejected: 'allow_renegotiation enforce_rsa_key_usage',
  }),
};
