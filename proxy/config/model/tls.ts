/**
 * Transport sockets. SDS secrets appear by name; the PEM texts travel as SecretModel, apart from the contexts that use them,
 * so that a rotation re-sends one secret and no listener or cluster.
 */
import type { StringMatcher } from './matchers.ts';

export type TransportSocketModel = RawBufferModel | DownstreamTlsModel | UpstreamTlsModel;

export interface RawBufferModel extends UpstreamWrappers {
  readonly kind: 'raw-buffer';
}

/** Transport sockets around an upstream's socket. */
export interface UpstreamWrappers {
  /** `proxy_protocol`: of the header that begins every connection; absent: there is none. */
  readonly proxyProtocol?: 'v1' | 'v2';
  /** `internal_upstream`: what a connection to an internal listener brings along; absent: nothing. */
  readonly internalUpstream?: { readonly metadata: readonly PassthroughMetadata[] };
}

export interface PassthroughMetadata {
  readonly source: 'host' | 'cluster';
  readonly namespace: string;
}

/** `envoy.extensions.transport_sockets.tls.v3.CommonTlsContext`. Absent file names were read at compile time. */
export interface CommonTlsModel {
  /** Key in the table of secrets, or null: no certificate is presented. */
  readonly certificateSecret: string | null;
  /** Key of the secret that brings the trusted CA, or null. */
  readonly validationSecret: string | null;
  /** Validation given inline (also the default part of a combined context); null if the peer's certificate is not checked. */
  readonly validation: ValidationModel | null;
  readonly alpnProtocols: readonly string[];
  /** OpenSSL names. */
  readonly minVersion: 'TLSv1' | 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3';
  readonly maxVersion: 'TLSv1' | 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3';
  /** OpenSSL cipher list for TLS 1.2 and below, joined with ':'; empty for Envoy's defaults. */
  readonly ciphers: string;
  /** OpenSSL group list, joined with ':'. */
  readonly groups: string;
}

export interface ValidationModel {
  /** PEM; null when a secret brings it. */
  readonly trustedCa: string | null;
  readonly crl: string | null;
  /** Any of them suffices; empty accepts every name. */
  readonly subjectAltNames: readonly SubjectAltNameMatcher[];
  /** Hex SHA-256, lower case. */
  readonly certificateHashes: readonly string[];
  /** Base64 SHA-256 of the public key. */
  readonly certificateSpkis: readonly string[];
  readonly acceptUntrusted: boolean;
}

export interface SubjectAltNameMatcher {
  /** `any` is the deprecated untyped field, which istiod sends. */
  readonly type: 'any' | 'dns' | 'uri' | 'email' | 'ip';
  readonly matcher: StringMatcher;
}

export interface DownstreamTlsModel {
  readonly kind: 'downstream-tls';
  readonly common: CommonTlsModel;
  readonly requireClientCertificate: boolean;
  readonly sessionTimeoutMs: number;
}

export interface UpstreamTlsModel extends UpstreamWrappers {
  readonly kind: 'upstream-tls';
  readonly common: CommonTlsModel;
  readonly sni: string;
  readonly maxSessionKeys: number;
}

/** What a secret resolved to. `key` is unique per SDS source and resource name. */
export interface SecretModel {
  readonly key: string;
  readonly certificate: { readonly chain: string; readonly privateKey: string; readonly password: string | null } | null;
  readonly validation: ValidationModel | null;
  /** Ticket keys for sessions that this secret's contexts accept, base64 of 48 bytes; replaced with the CA. */
  readonly ticketKeys: string;
}
