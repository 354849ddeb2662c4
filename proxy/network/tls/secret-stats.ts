/**
 * What Envoy tells of the secrets that transport sockets use: how often one came, and when its certificate ends.
 *
 * Source: Envoy's `ssl_context_update_by_sds` and `ssl.certificate.<name>.expiration_unix_time_seconds`.
 */
import { X509Certificate } from 'node:crypto';
import type { SecretModel, TransportSocketModel } from '../../config/model/tls.ts';
import type { Counter, StatsStore } from '../../telemetry/stats-store.ts';

/** A secret that has a value. */
export interface KnownSecret {
  /** Of the SDS resource; null if the configuration itself holds the secret. */
  readonly name: string | null;
  readonly model: SecretModel;
}

export type SecretLookup = (key: string) => KnownSecret | null;

/** Envoy hashes what names a certificate without a name, and hashes nothing: this is how SHA-256 of nothing begins. */
const unnamed = { certificate: 'unnamed_cert_e3b0c442', authority: 'unnamed_ca_cert_e3b0c442' };

export class SecretStats {
  readonly #stats: StatsStore;
  readonly #prefix: string;
  readonly #find: SecretLookup;
  readonly #updates: Counter;
  /** A key for each time that a socket uses it. */
  readonly #keys: readonly string[];

  /** `prefix` with its final dot: `cluster.<name>.` or `listener.<address>.`. */
  constructor(stats: StatsStore, prefix: string, sockets: readonly TransportSocketModel[], find: SecretLookup) {
    this.#stats = stats;
    this.#prefix = prefix;
    this.#find = find;
    const contexts = sockets.flatMap(socket => (socket.kind === 'raw-buffer' ? [] : [socket.common]));
    const isUpstream = sockets.some(({ kind }) => kind === 'upstream-tls');
    this.#updates = stats.counter(`${prefix}${isUpstream ? 'client' : 'server'}_ssl_socket_factory.ssl_context_update_by_sds`);
    this.#keys = contexts.flatMap(({ certificateSecret, validationSecret }) =>
      [certificateSecret, validationSecret].filter(key => key !== null),
    );
    for (const key of this.#keys) this.#show(key);
    for (const { validation } of contexts) if (validation !== null) this.#showExpiry(unnamed.authority, validation.trustedCa);
  }

  /** A secret came or was rotated. */
  onSecret(key: string): void {
    for (const own of this.#keys) if (own === key) this.#show(key);
  }

  #show(key: string): void {
    const secret = this.#find(key);
    if (secret === null) return;
    const { name, model } = secret;
    if (name !== null) this.#updates.inc();
    this.#showExpiry(name ?? unnamed.certificate, model.certificate?.chain ?? null);
    this.#showExpiry(name ?? unnamed.authority, model.validation?.trustedCa ?? null);
  }

  #showExpiry(name: string, pem: string | null): void {
    if (pem === null || pem === '') return;
    this.#stats.gauge(`${this.#prefix}ssl.certificate.${name}.expiration_unix_time_seconds`).set(expirySeconds(pem));
  }
}

/** Most sockets of a proxy have the same two texts. */
const maxRemembered = 16;
const remembered = new Map<string, number>();

/** When the first certificate of a PEM text ends: seconds since 1970. */
function expirySeconds(pem: string): number {
  let seconds = remembered.get(pem);
  if (seconds === undefined) {
    seconds = Date.parse(new X509Certificate(pem).validTo) / 1000;
    if (remembered.size >= maxRemembered) remembered.clear();
    remembered.set(pem, seconds);
  }
  return seconds;
}
