/** `envoy.extensions.transport_sockets.tls.v3.Secret` and its parts, whether they come by SDS or inline. */
import { X509Certificate, createHash, randomBytes } from 'node:crypto';
import { dirname } from 'node:path';
import { createSecureContext } from 'node:tls';
import { decodeMessage, encodeMessage, type protos } from '../../../protos/messages.ts';
import type { SecretModel, SubjectAltNameMatcher, ValidationModel } from '../model/tls.ts';
import { ConfigError } from './config-error.ts';
import { readDataSource, readTextSource } from './data-source.ts';
import { compileStringMatcher } from './matchers.ts';
import { type CompileContext, type CompileFindings, CompileScope } from './scope.ts';
import { decodeChecked } from './typed-config.ts';

type TlsCertificate = protos.envoy.extensions.transport_sockets.tls.v3.TlsCertificate;
type ValidationContext = protos.envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext;
type DataSource = protos.envoy.config.core.v3.DataSource;
type Secret = protos.envoy.extensions.transport_sockets.tls.v3.Secret;

const sanTypes = ['any', 'email', 'dns', 'uri', 'ip'] as const;
const secretType = 'envoy.extensions.transport_sockets.tls.v3.Secret';
const ticketKeyBytes = 48;

export interface CompiledSecret extends CompileFindings {
  readonly name: string;
  readonly model: SecretModel;
}

/**
 * @param key of the SecretModel, as the SecretReference that asked for the secret says.
 * @throws ConfigError also if certificate and key do not match or the CA is unreadable.
 */
export function compileSecret(bytes: Uint8Array, context: CompileContext, key: string): CompiledSecret {
  const scope = new CompileScope(context, 'secret');
  const message = decodeChecked('envoy.extensions.transport_sockets.tls.v3.Secret', bytes, '', scope) as Secret;
  return { name: message.name, model: compileSecretMessage(message, key, scope), ...scope.findings() };
}

/**
 * The secret with the contents of files in place of their names; the same bytes if it names none.
 * @throws ConfigError if a file cannot be read.
 */
export function resolveSecretFiles(bytes: Uint8Array): Uint8Array {
  const message = decodeMessage(secretType, bytes);
  let named = false;
  const resolve = <K extends string>(owner: { [key in K]: DataSource | null } | null, key: K, path: string): void => {
    const source = owner?.[key];
    if (owner === null || source?.specifier !== 'filename') return;
    named = true;
    owner[key] = { ...source, specifier: 'inline_bytes', filename: null, inline_bytes: readDataSource(source, path) } as never;
  };
  for (const key of ['certificate_chain', 'private_key', 'password'] as const) {
    resolve(message.tls_certificate, key, `tls_certificate.${key}`);
  }
  for (const key of ['trusted_ca', 'crl'] as const) resolve(message.validation_context, key, `validation_context.${key}`);
  return named ? encodeMessage(secretType, message) : bytes;
}

/**
 * The directories whose changes may be changes of the files that a secret names: those of the files, and the ones that it names
 * for the purpose.
 */
export function listSecretDirectories(bytes: Uint8Array): string[] {
  const { tls_certificate: certificate, validation_context: validation } = decodeMessage(secretType, bytes);
  const sources = [
    certificate?.certificate_chain,
    certificate?.private_key,
    certificate?.password,
    validation?.trusted_ca,
    validation?.crl,
  ];
  const files = sources.flatMap(source => (source?.specifier === 'filename' ? [dirname(source.filename as string)] : []));
  const named = [certificate?.watched_directory, validation?.watched_directory].flatMap(watched =>
    watched ? [watched.path] : [],
  );
  return [...new Set([...named, ...files])];
}

function compileSecretMessage(message: Secret, key: string, scope: CompileScope): SecretModel {
  if (message.type !== 'tls_certificate' && message.type !== 'validation_context') {
    throw new ConfigError('', 'a secret must hold tls_certificate or validation_context');
  }
  return {
    key,
    certificate: message.tls_certificate === null ? null : compileCertificate(message.tls_certificate, 'tls_certificate'),
    validation:
      message.validation_context === null ? null : compileValidation(message.validation_context, 'validation_context', scope),
    // Made by whoever keeps the secret: they outlive a rotation of the certificate.
    ticketKeys: '',
  };
}

/** Keeps certificates given in the resource itself apart from its model: adds a secret to the scope and returns its key. */
export function addInlineCertificate(message: TlsCertificate, path: string, scope: CompileScope): string {
  const certificate = compileCertificate(message, path);
  const digest = createHash('sha256').update(certificate.chain).update('\0').update(certificate.privateKey).digest('hex');
  const key = `inline/${digest}`;
  if (!scope.inlineSecrets.has(key)) {
    const ticketKeys = randomBytes(ticketKeyBytes).toString('base64');
    scope.inlineSecrets.set(key, { key, certificate, validation: null, ticketKeys });
  }
  return key;
}

function compileCertificate(message: TlsCertificate, path: string): NonNullable<SecretModel['certificate']> {
  const chain = readTextSource(message.certificate_chain, `${path}.certificate_chain`);
  const privateKey = readTextSource(message.private_key, `${path}.private_key`);
  const password = readTextSource(message.password, `${path}.password`);
  if (!chain)
    throw new ConfigError(`${path}.certificate_chain`, 'Failed to load incomplete certificate: certificate chain not set');
  if (!privateKey) throw new ConfigError(`${path}.private_key`, 'Failed to load incomplete private key: private key not set');
  requireCertificates(chain, `${path}.certificate_chain`, 'Failed to load certificate chain');
  const passphrase = password === null ? {} : { passphrase: password };
  try {
    createSecureContext({ key: privateKey, ...passphrase });
  } catch (error) {
    throw new ConfigError(`${path}.private_key`, `Failed to load private key, Cause: ${(error as Error).message}`);
  }
  try {
    createSecureContext({ cert: chain, key: privateKey, ...passphrase });
  } catch (error) {
    throw new ConfigError(path, `Failed to load private key, Cause: ${(error as Error).message}`);
  }
  return { chain, privateKey, password };
}

const pemCertificate = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[^-]*-----END (?:TRUSTED |X509 )?CERTIFICATE-----/g;

/** Node ignores what it cannot read in a list of certificates; here all of it must be readable. */
function requireCertificates(pem: string, path: string, failure: string): void {
  const blocks = pem.match(pemCertificate) ?? [];
  if (blocks.length === 0) throw new ConfigError(path, `${failure}: no PEM certificate`);
  for (const block of blocks) {
    try {
      new X509Certificate(block);
    } catch (error) {
      throw new ConfigError(path, `${failure}: ${(error as Error).message}`);
    }
  }
}

export function compileValidation(message: ValidationContext, path: string, scope: CompileScope): ValidationModel {
  const trustedCa = readTextSource(message.trusted_ca, `${path}.trusted_ca`);
  if (message.trusted_ca !== null) {
    requireCertificates(trustedCa!, `${path}.trusted_ca`, 'Failed to load trusted CA certificates');
  }
  // An agent without revocation lists sends an empty one.
  const crl = readTextSource(message.crl, `${path}.crl`) || null;
  if (crl !== null) requireCrl(crl, `${path}.crl`);
  return {
    trustedCa,
    crl,
    subjectAltNames: compileSubjectAltNames(message, path, scope),
    certificateHashes: message.verify_certificate_hash.map((hash, i) => {
      const hex = hash.replaceAll(':', '').toLowerCase();
      if (!/^[0-9a-f]{64}$/.test(hex)) {
        throw new ConfigError(`${path}.verify_certificate_hash[${i}]`, `Invalid hex-encoded SHA-256 ${hash}`);
      }
      return hex;
    }),
    certificateSpkis: message.verify_certificate_spki.map((spki, i) => {
      if (!/^[A-Za-z0-9+/]{43}=$/.test(spki)) {
        throw new ConfigError(`${path}.verify_certificate_spki[${i}]`, `Invalid base64-encoded SHA-256 ${spki}`);
      }
      return spki;
    }),
    acceptUntrusted: message.trust_chain_verification === 1,
  };
}

/** Node reads the first list only; each must be readable, and there must be one. */
function requireCrl(crl: string, path: string): void {
  const lists = crl.split(/(?=-----BEGIN X509 CRL-----)/).filter(part => part.startsWith('-----BEGIN X509 CRL-----'));
  if (lists.length === 0) throw new ConfigError(path, 'Failed to load CRL: no PEM list');
  for (const list of lists) {
    try {
      createSecureContext({ crl: list });
    } catch {
      throw new ConfigError(path, 'Failed to load CRL');
    }
  }
}

function compileSubjectAltNames(message: ValidationContext, path: string, scope: CompileScope): readonly SubjectAltNameMatcher[] {
  // As in Envoy, the typed field replaces the untyped one.
  if (message.match_typed_subject_alt_names.length > 0) {
    return message.match_typed_subject_alt_names.map((san, i) => {
      const at = `${path}.match_typed_subject_alt_names[${i}]`;
      if (san.san_type === 0) throw new ConfigError(`${at}.san_type`, 'value must not be SAN_TYPE_UNSPECIFIED');
      const type = sanTypes[san.san_type];
      if (type === undefined) throw new ConfigError(`${at}.san_type`, 'is not implemented');
      if (san.matcher === null) throw new ConfigError(`${at}.matcher`, 'value is required');
      return { type, matcher: compileStringMatcher(san.matcher, `${at}.matcher`, scope) };
    });
  }
  return message.match_subject_alt_names.map((matcher, i) => ({
    type: 'any',
    matcher: compileStringMatcher(matcher, `${path}.match_subject_alt_names[${i}]`, scope),
  }));
}
