/** Transport sockets: raw buffer and TLS, downstream and upstream. */
import { createSecureContext, getCiphers } from 'node:tls';
import type { protos } from '../../../protos/messages.ts';
import type { CommonTlsModel, DownstreamTlsModel, RawBufferModel, UpstreamTlsModel, ValidationModel } from '../model/tls.ts';
import { ConfigError } from './config-error.ts';
import { compileConfigSource } from './config-source.ts';
import { durationMs, requireText, unwrap } from './scalars.ts';
import type { CompileScope, SecretReference } from './scope.ts';
import { addInlineCertificate, compileValidation } from './secret.ts';
import { openExpected, typeNameOf, unknownExtension } from './typed-config.ts';

type TransportSocket = protos.envoy.config.core.v3.TransportSocket;
type CommonTlsContext = protos.envoy.extensions.transport_sockets.tls.v3.CommonTlsContext;
type DownstreamTlsContext = protos.envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext;
type ProxyProtocolTransport = protos.envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport;
type InternalUpstreamTransport = protos.envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport;
type UpstreamTlsContext = protos.envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext;

const rawBufferType = 'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer';
const downstreamType = 'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext';
const upstreamType = 'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext';

const proxyProtocolType = 'envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport';

const internalUpstreamType = 'envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport';

const rawBuffer: RawBufferModel = { kind: 'raw-buffer' };

const versions = [null, 'TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'] as const;
/** Envoy's defaults; a client that is not told otherwise stays at TLS 1.2. */
const defaults = {
  minVersion: 'TLSv1.2',
  maxVersion: { downstream: 'TLSv1.3', upstream: 'TLSv1.2' },
  ciphers: [
    'ECDHE-ECDSA-AES128-GCM-SHA256',
    'ECDHE-ECDSA-CHACHA20-POLY1305',
    'ECDHE-RSA-AES128-GCM-SHA256',
    'ECDHE-RSA-CHACHA20-POLY1305',
    'ECDHE-ECDSA-AES256-GCM-SHA384',
    'ECDHE-RSA-AES256-GCM-SHA384',
  ],
  /** Differs from Envoy: not X25519MLKEM768 before them, which costs more time and takes hellos beyond one segment. */
  groups: ['X25519', 'P-256'],
  sessionTimeoutMs: 7_200_000,
  maxSessionKeys: 1,
} as const;

const maxSniLength = 255;

/** Of a filter chain; absent means plain text. */
export function compileDownstreamSocket(
  message: TransportSocket | null,
  path: string,
  scope: CompileScope,
): DownstreamTlsModel | RawBufferModel {
  const kind = kindOf(message, path, downstreamType);
  if (message === null || kind === null) return rawBuffer;
  const at = `${path}.typed_config`;
  const context = openExpected(message.typed_config!, kind, at, scope) as DownstreamTlsContext;
  if (kind === rawBufferType) return rawBuffer;
  if (context.common_tls_context === null) throw new ConfigError(`${at}.common_tls_context`, 'value is required');
  const common = compileCommon(context.common_tls_context, 'downstream', `${at}.common_tls_context`, scope);
  if (common.certificateSecret === null) {
    throw new ConfigError(`${at}.common_tls_context`, 'No TLS certificates found for server context');
  }
  return {
    kind: 'downstream-tls',
    common,
    requireClientCertificate: unwrap(context.require_client_certificate, false),
    sessionTimeoutMs: durationMs(context.session_timeout, defaults.sessionTimeoutMs, `${at}.session_timeout`),
  };
}

/** Of a cluster or one of its matches; absent means plain text. */
export function compileUpstreamSocket(
  message: TransportSocket | null,
  path: string,
  scope: CompileScope,
): UpstreamTlsModel | RawBufferModel {
  const outer = message?.typed_config ?? null;
  const outerType = outer === null ? '' : typeNameOf(outer, `${path}.typed_config`);
  if (outerType === proxyProtocolType) return compileProxyProtocol(outer!, `${path}.typed_config`, scope);
  if (outerType === internalUpstreamType) return compileInternalUpstream(outer!, `${path}.typed_config`, scope);
  const kind = kindOf(message, path, upstreamType);
  if (message === null || kind === null) return rawBuffer;
  const at = `${path}.typed_config`;
  const context = openExpected(message.typed_config!, kind, at, scope) as UpstreamTlsContext;
  if (kind === rawBufferType) return rawBuffer;
  if (context.common_tls_context === null) throw new ConfigError(`${at}.common_tls_context`, 'value is required');
  if (context.sni.length > maxSniLength) {
    throw new ConfigError(`${at}.sni`, `value length must be at most ${maxSniLength} bytes`);
  }
  return {
    kind: 'upstream-tls',
    common: compileCommon(context.common_tls_context, 'upstream', `${at}.common_tls_context`, scope),
    sni: context.sni,
    maxSessionKeys: unwrap(context.max_session_keys, defaults.maxSessionKeys),
  };
}

function compileProxyProtocol(
  config: protos.google.protobuf.Any,
  path: string,
  scope: CompileScope,
): UpstreamTlsModel | RawBufferModel {
  const message = openExpected(config, proxyProtocolType, path, scope) as ProxyProtocolTransport;
  if (message.transport_socket === null) throw new ConfigError(`${path}.transport_socket`, 'value is required');
  const inner = compileUpstreamSocket(message.transport_socket, `${path}.transport_socket`, scope);
  return { ...inner, proxyProtocol: message.config?.version === 1 ? 'v2' : 'v1' };
}

function compileInternalUpstream(
  config: protos.google.protobuf.Any,
  path: string,
  scope: CompileScope,
): UpstreamTlsModel | RawBufferModel {
  const message = openExpected(config, internalUpstreamType, path, scope) as InternalUpstreamTransport;
  if (message.transport_socket === null) throw new ConfigError(`${path}.transport_socket`, 'value is required');
  const inner = compileUpstreamSocket(message.transport_socket, `${path}.transport_socket`, scope);
  const metadata = message.passthrough_metadata.map(({ kind, name }, i) => {
    const at = `${path}.passthrough_metadata[${i}]`;
    const source = kind?.kind;
    if (source !== 'host' && source !== 'cluster') throw new ConfigError(`${at}.kind`, 'metadata type is not supported');
    return { source, namespace: requireText(name, `${at}.name`) };
  });
  return { ...inner, internalUpstream: { metadata } };
}

/** The type in the socket's config; null for a raw buffer that is only named. */
function kindOf(message: TransportSocket | null, path: string, tlsType: string): string | null {
  if (message === null) return null;
  if (message.typed_config === null) {
    if (message.name === 'envoy.transport_sockets.raw_buffer') return null;
    throw unknownExtension('transport socket', message.name, null, path);
  }
  const type = typeNameOf(message.typed_config, `${path}.typed_config`);
  if (type !== rawBufferType && type !== tlsType) {
    throw unknownExtension('transport socket', message.name, message.typed_config, path);
  }
  return type;
}

function compileCommon(
  message: CommonTlsContext,
  side: 'downstream' | 'upstream',
  path: string,
  scope: CompileScope,
): CommonTlsModel {
  const parameters = compileParameters(message.tls_params, side, `${path}.tls_params`);
  return {
    certificateSecret: compileCertificateSource(message, path, scope),
    ...compileValidationSource(message, path, scope),
    alpnProtocols: message.alpn_protocols.map((protocol, i) => requireAlpn(protocol, `${path}.alpn_protocols[${i}]`)),
    ...parameters,
  };
}

function requireAlpn(protocol: string, path: string): string {
  requireText(protocol, path);
  if (Buffer.byteLength(protocol) > 255) throw new ConfigError(path, 'Invalid ALPN protocol string');
  return protocol;
}

function compileCertificateSource(message: CommonTlsContext, path: string, scope: CompileScope): string | null {
  const { tls_certificates: inline, tls_certificate_sds_secret_configs: sds } = message;
  if (inline.length + sds.length > 1) throw new ConfigError(path, 'only one TLS certificate is implemented');
  if (inline.length === 1) return addInlineCertificate(inline[0], `${path}.tls_certificates[0]`, scope);
  if (sds.length === 1) return addReference(sds[0], 'certificate', `${path}.tls_certificate_sds_secret_configs[0]`, scope);
  return null;
}

function compileValidationSource(
  message: CommonTlsContext,
  path: string,
  scope: CompileScope,
): { validationSecret: string | null; validation: ValidationModel | null } {
  switch (message.validation_context_type) {
    case 'validation_context': {
      const at = `${path}.validation_context`;
      const validation = compileValidation(message.validation_context!, at, scope);
      if (validation.trustedCa === null && validation.subjectAltNames.length > 0) {
        throw new ConfigError(at, 'SAN-based verification of peer certificates without trusted CA is insecure and not allowed');
      }
      return { validationSecret: null, validation };
    }
    case 'validation_context_sds_secret_config': {
      const at = `${path}.validation_context_sds_secret_config`;
      const key = addReference(message.validation_context_sds_secret_config!, 'validation', at, scope);
      return { validationSecret: key, validation: null };
    }
    case 'combined_validation_context': {
      const at = `${path}.combined_validation_context`;
      const combined = message.combined_validation_context!;
      const sds = combined.validation_context_sds_secret_config;
      const own = combined.default_validation_context;
      if (sds === null) throw new ConfigError(`${at}.validation_context_sds_secret_config`, 'value is required');
      if (own === null) throw new ConfigError(`${at}.default_validation_context`, 'value is required');
      return {
        validationSecret: addReference(sds, 'validation', `${at}.validation_context_sds_secret_config`, scope),
        validation: compileValidation(own, `${at}.default_validation_context`, scope),
      };
    }
    default:
      return { validationSecret: null, validation: null };
  }
}

function addReference(
  message: protos.envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig,
  kind: SecretReference['kind'],
  path: string,
  scope: CompileScope,
): string {
  const name = requireText(message.name, `${path}.name`);
  if (message.sds_config === null) return addTo(scope, { key: `static/${name}`, name, source: 'static', kind });
  const { source, initialFetchTimeoutMs } = compileConfigSource(message.sds_config, `${path}.sds_config`);
  const common = { name, kind, initialFetchTimeoutMs };
  switch (source.kind) {
    case 'ads':
      return addTo(scope, { ...common, key: `ads/${name}`, source: 'ads' });
    case 'grpc': {
      const { cluster, protocol } = source;
      return addTo(scope, { ...common, key: `cluster/${cluster}/${name}`, source: { cluster }, protocol });
    }
    case 'path':
      return addTo(scope, {
        ...common,
        key: `path/${source.path}/${name}`,
        source: { path: source.path, watchedDirectory: source.watchedDirectory },
      });
  }
}

function addTo(scope: CompileScope, reference: SecretReference): string {
  scope.secrets.set(reference.key, reference);
  return reference.key;
}

type Parameters = Pick<CommonTlsModel, 'minVersion' | 'maxVersion' | 'ciphers' | 'groups'>;

/** Cipher and group lists that a secure context was made of; the same few come with every cluster. */
const accepted = new Set<string>();

function compileParameters(
  message: protos.envoy.extensions.transport_sockets.tls.v3.TlsParameters | null,
  side: 'downstream' | 'upstream',
  path: string,
): Parameters {
  const minVersion = versions[message?.tls_minimum_protocol_version ?? 0] ?? defaults.minVersion;
  const maxVersion = versions[message?.tls_maximum_protocol_version ?? 0] ?? defaults.maxVersion[side];
  if (versions.indexOf(minVersion) > versions.indexOf(maxVersion)) {
    throw new ConfigError(path, `tls_minimum_protocol_version ${minVersion} is above the maximum ${maxVersion}`);
  }
  const ciphers = splitCiphers(message?.cipher_suites ?? [], `${path}.cipher_suites`).join(':');
  const curves = message?.ecdh_curves ?? [];
  const groups = (curves.length > 0 ? curves : defaults.groups).join(':');
  if (!accepted.has(`${ciphers} ${groups}`)) {
    try {
      createSecureContext({ ciphers, ecdhCurve: groups });
    } catch (error) {
      throw new ConfigError(path, `Failed to initialize cipher suites or ECDH curves ${groups}: ${(error as Error).message}`);
    }
    accepted.add(`${ciphers} ${groups}`);
  }
  return { minVersion, maxVersion, ciphers, groups };
}

/**
 * Names without BoringSSL's groups of equal preference, `[A|B]`. Those of TLS 1.3, whose suites cannot be chosen, have no effect
 * beside others, and are no list by themselves.
 */
function splitCiphers(suites: readonly string[], path: string): readonly string[] {
  if (suites.length === 0) return defaults.ciphers;
  const names = suites.flatMap(suite => suite.split(/[[\]|:]/)).filter(Boolean);
  const known = knownCiphers();
  const isUnknown = (name: string): boolean => !known.has(name.toLowerCase());
  const chosen = names.filter(name => !name.startsWith('TLS_'));
  if (names.some(isUnknown) || chosen.length === 0) {
    const rejected = names.filter(name => isUnknown(name) || name.startsWith('TLS_')).join(', ');
    throw new ConfigError(
      path,
      `Failed to initialize cipher suites ${suites.join(':')}. The following ciphers were rejected when tried individually: ${rejected}`,
    );
  }
  return chosen;
}

let cipherNames: ReadonlySet<string> | undefined;
function knownCiphers(): ReadonlySet<string> {
  cipherNames ??= new Set(getCiphers());
  return cipherNames;
}
