/**
 * The secrets of one worker and the secure contexts made of them: one context per (certificate, trust, parameters), shared by
 * every listener and cluster that uses the same, made at first use and again only after a rotation.
 */
import { createHash } from 'node:crypto';
import tls from 'node:tls';
import { renewUsedTickets } from './session-tickets.ts';
import type { CommonTlsModel, SecretModel, ValidationModel } from '../../config/model/tls.ts';

/** Envoy's suites for TLS 1.2 where the configuration names none. */
const defaultCiphers = {
  server:
    'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384',
  client:
    'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384',
} as const;
/** Node turns TLS 1.3 off unless the list names a suite of it. */
const tls13Ciphers = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256';
/** Keeps client and server hellos within one segment; OpenSSL's default group costs more and is longer. */
const defaultGroups = 'X25519:P-256';

/** A secure context and what it was made of. */
export interface TlsContext {
  readonly secureContext: tls.SecureContext;
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
  /** Null while a secret it needs is missing: no connection can be made or accepted. */
  current(): TlsContext | null;
}

interface CachedContext {
  readonly key: string;
  readonly model: CommonTlsModel;
  readonly role: 'server' | 'client';
  readonly serverNames: readonly string[];
  readonly sessionTimeoutMs: number;
  context: TlsContext | null;
}

export class SecretContexts {
  readonly #secrets = new Map<string, SecretModel>();
  readonly #contexts = new Map<string, CachedContext>();

  /** Takes a new or rotated secret; contexts made of the old one are made anew when next used. */
  update(secret: SecretModel): void {
    this.#secrets.set(secret.key, secret);
    for (const cached of this.#contexts.values()) {
      const { certificateSecret, validationSecret } = cached.model;
      if (certificateSecret === secret.key || validationSecret === secret.key) cached.context = null;
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
      cached = { key, model, role, serverNames, sessionTimeoutMs, context: null };
      this.#contexts.set(key, cached);
    }
    const entry = cached;
    return {
      current: () => {
        entry.context ??= this.#create(entry);
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
    const trustId = digest('sha256', [validation, cached.serverNames]).toString('hex').slice(0, 32);
    const ca = validation?.trustedCa ?? null;
    const chain = certificate?.certificate ?? null;
    const ticketKeys = digest('sha384', [
      certificate?.ticketKeys ?? '',
      trust?.ticketKeys ?? '',
      trustId,
      chain?.privateKey ?? '',
    ]);
    const secureContext = tls.createSecureContext({
      ...(chain === null ? {} : { cert: chain.chain, key: chain.privateKey, passphrase: chain.password ?? undefined }),
      // An empty list would mean Node's own roots.
      ca: ca ?? [],
      ...(validation?.crl ? { crl: validation.crl } : {}),
      ciphers: `${tls13Ciphers}:${model.ciphers === '' ? defaultCiphers[role] : model.ciphers}`,
      ecdhCurve: model.groups === '' ? defaultGroups : model.groups,
      minVersion: model.minVersion,
      maxVersion: model.maxVersion,
      honorCipherOrder: role === 'server',
      ...(role === 'server'
        ? {
            sessionIdContext: trustId,
            ticketKeys,
            ...(cached.sessionTimeoutMs > 0 ? { sessionTimeout: Math.ceil(cached.sessionTimeoutMs / 1000) } : {}),
          }
        : {}),
    });
    if (role === 'server') renewUsedTickets(secureContext, ticketKeys);
    const verifiesChain = ca !== null && validation?.acceptUntrusted !== true;
    return { secureContext, validation, verifiesChain, certificate: chain?.chain ?? null, trustId };
  }
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

function digest(algorithm: string, parts: readonly unknown[]): Buffer {
  return createHash(algorithm).update(JSON.stringify(parts)).digest();
}
