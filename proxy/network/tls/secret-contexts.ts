/**
 * The secrets of one worker and the contexts made of them: one context per (certificate, trust, parameters), shared by
 * every listener and cluster that uses the same, made at first use and again only after a rotation.
 */
import { createHash, hkdfSync } from 'node:crypto';
import { Logger } from '../../../common/log.ts';
import type { CommonTlsModel, SecretModel, ValidationModel } from '../../config/model/tls.ts';
import { SslContext, ticketKeyBytes } from './ssl-context.ts';

const log = new Logger('connection');

/** Envoy's suites for TLS 1.2 where the configuration names none. */
const defaultCiphers =
  'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384';
/** Keeps client and server hellos within one segment; OpenSSL's default group costs more and is longer. */
const defaultGroups = 'X25519:P-256';
const sessionIdContextBytes = 32;

/** OpenSSL's context and what it was made of. */
export interface TlsContext {
  readonly sslContext: SslContext;
  readonly validation: ValidationModel | null;
  /** Chains must lead to a trusted certificate. */
  readonly verifiesChain: boolean;
  /** The own leaf certificate, PEM; null if none is presented. */
  readonly certificate: string | null;
  /** Changes whenever the trust or the accepted names do: sessions from before are worthless. */
  readonly trustId: string;
}

/** One use of TLS in the configuration. Its context follows the secrets. */
export interface TlsContextSource {
  /** Null while a secret it needs is missing, or if OpenSSL refuses one: no connection can be made or accepted. */
  current(): TlsContext | null;
}

interface CachedContext {
  readonly key: string;
  readonly model: CommonTlsModel;
  readonly role: 'server' | 'client';
  readonly serverNames: readonly string[];
  readonly sessionTimeoutMs: number;
  context: TlsContext | null;
  /** OpenSSL refused it: nothing is tried again before a secret changes. */
  refused: boolean;
}

export class SecretContexts {
  readonly #secrets = new Map<string, SecretModel>();
  readonly #contexts = new Map<string, CachedContext>();

  /** Takes a new or rotated secret; contexts made of the old one are made anew when next used. */
  update(secret: SecretModel): void {
    this.#secrets.set(secret.key, secret);
    for (const cached of this.#contexts.values()) {
      const { certificateSecret, validationSecret } = cached.model;
      if (certificateSecret === secret.key || validationSecret === secret.key) {
        cached.context = null;
        cached.refused = false;
      }
    }
  }

  /**
   * The source of one transport socket's context. `serverNames` are the names a server's chain is chosen by: sessions of one
   * chain are not resumed on another.
   */
  source(
    model: CommonTlsModel,
    role: 'server' | 'client',
    options: { readonly serverNames?: readonly string[]; readonly sessionTimeoutMs?: number } = {},
  ): TlsContextSource {
    const serverNames = options.serverNames ?? [];
    const sessionTimeoutMs = options.sessionTimeoutMs ?? 0;
    const key = JSON.stringify([role, { ...model, alpnProtocols: null }, serverNames, sessionTimeoutMs]);
    let cached = this.#contexts.get(key);
    if (cached === undefined) {
      cached = { key, model, role, serverNames, sessionTimeoutMs, context: null, refused: false };
      this.#contexts.set(key, cached);
    }
    const entry = cached;
    return {
      current: () => {
        if (!entry.refused) entry.context ??= this.#create(entry);
        return entry.context;
      },
    };
  }

  #create(cached: CachedContext): TlsContext | null {
    const { model, role } = cached;
    const certificate = model.certificateSecret === null ? undefined : this.#secrets.get(model.certificateSecret);
    if (model.certificateSecret !== null && !certificate?.certificate) return null;
    const trust = model.validationSecret === null ? undefined : this.#secrets.get(model.validationSecret);
    if (model.validationSecret !== null && !trust?.validation) return null;
    if (role === 'server' && !certificate?.certificate) return null;
    const validation = mergeValidation(model.validation, trust?.validation ?? null);
    const trustId = digest([validation, cached.serverNames]).toString('hex').slice(0, sessionIdContextBytes);
    const ca = validation?.trustedCa ?? null;
    const chain = certificate?.certificate ?? null;
    const ticketKeys = [certificate?.ticketKeys ?? '', trust?.ticketKeys ?? '', trustId, chain?.privateKey ?? ''];
    const sslContext = createSslContext(cached, chain, validation, trustId, ticketKeys);
    if (sslContext === null) {
      cached.refused = true;
      return null;
    }
    const verifiesChain = ca !== null && validation?.acceptUntrusted !== true;
    return { sslContext, validation, verifiesChain, certificate: chain?.chain ?? null, trustId };
  }
}

/**
 * Null if OpenSSL refuses a part, though the configuration was accepted: what is logged is all that remains to be done.
 * Workers whose `keySources` are the same resume each other's sessions.
 */
function createSslContext(
  { role, model, sessionTimeoutMs }: CachedContext,
  certificate: SecretModel['certificate'],
  validation: ValidationModel | null,
  trustId: string,
  keySources: readonly string[],
): SslContext | null {
  try {
    return new SslContext({
      role,
      certificate,
      trustedCa: validation?.trustedCa ?? null,
      crl: validation?.crl || null,
      ciphers: model.ciphers === '' ? defaultCiphers : model.ciphers,
      groups: model.groups === '' ? defaultGroups : model.groups,
      minVersion: model.minVersion,
      maxVersion: model.maxVersion,
      sessionIdContext: trustId,
      ticketKeys: role === 'server' ? deriveTicketKeys(keySources) : null,
      sessionTimeoutSeconds: Math.ceil(sessionTimeoutMs / 1000),
    });
  } catch (error) {
    const secrets = [model.certificateSecret, model.validationSecret].filter(name => name !== null).join(' and ');
    log.error(`no ${role} can use the secrets ${secrets || '(none)'}: ${(error as Error).message}`);
    return null;
  }
}

function deriveTicketKeys(sources: readonly string[]): Buffer {
  return Buffer.from(hkdfSync('sha512', digest(sources), '', 'session ticket keys', ticketKeyBytes));
}

/** A secret brings CA and CRL, the inline part the names (Envoy merges messages: what the secret sets wins). */
function mergeValidation(inline: ValidationModel | null, secret: ValidationModel | null): ValidationModel | null {
  if (inline === null || secret === null) return inline ?? secret;
  return {
    trustedCa: secret.trustedCa ?? inline.trustedCa,
    crl: secret.crl ?? inline.crl,
    subjectAltNames: [...inline.subjectAltNames, ...secret.subjectAltNames],
    certificateHashes: [...inline.certificateHashes, ...secret.certificateHashes],
    certificateSpkis: [...inline.certificateSpkis, ...secret.certificateSpkis],
    acceptUntrusted: secret.acceptUntrusted || inline.acceptUntrusted,
  };
}

function digest(parts: readonly unknown[]): Buffer {
  return createHash('sha256').update(JSON.stringify(parts)).digest();
}
