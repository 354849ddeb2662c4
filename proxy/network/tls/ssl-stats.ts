/** Counters below `<listener or cluster prefix>.ssl.`, under Envoy's names. */
import type { Counter, StatsStore } from '../../telemetry/stats-store.ts';

export class SslStats {
  readonly connectionError: Counter;
  readonly handshake: Counter;
  readonly sessionReused: Counter;
  readonly noCertificate: Counter;
  readonly verifyNoCert: Counter;
  readonly verifyError: Counter;
  readonly verifySan: Counter;
  readonly verifyCertHash: Counter;
  readonly #stats: StatsStore;
  readonly #prefix: string;
  readonly #dynamic = new Map<string, Counter>();

  /** `prefix` ends before `.ssl`. */
  constructor(stats: StatsStore, prefix: string) {
    this.#stats = stats;
    this.#prefix = `${prefix}.ssl.`;
    const counter = (name: string): Counter => stats.counter(this.#prefix + name);
    this.connectionError = counter('connection_error');
    this.handshake = counter('handshake');
    this.sessionReused = counter('session_reused');
    this.noCertificate = counter('no_certificate');
    this.verifyNoCert = counter('fail_verify_no_cert');
    this.verifyError = counter('fail_verify_error');
    this.verifySan = counter('fail_verify_san');
    this.verifyCertHash = counter('fail_verify_cert_hash');
  }

  /** A finished handshake. `group` is that of the key exchange; empty: unknown. */
  countHandshake(version: string, cipher: string, group: string, resumed: boolean): void {
    this.handshake.inc();
    if (resumed) this.sessionReused.inc();
    this.#count(`versions.${version}`);
    this.#count(`ciphers.${cipher}`);
    if (group !== '') this.#count(`curves.${group}`);
  }

  countVerification(stat: 'fail_verify_no_cert' | 'fail_verify_error' | 'fail_verify_san' | 'fail_verify_cert_hash'): void {
    if (stat === 'fail_verify_no_cert') this.verifyNoCert.inc();
    else if (stat === 'fail_verify_error') this.verifyError.inc();
    else if (stat === 'fail_verify_san') this.verifySan.inc();
    else this.verifyCertHash.inc();
  }

  #count(name: string): void {
    let counter = this.#dynamic.get(name);
    if (counter === undefined) {
      counter = this.#stats.counter(this.#prefix + name);
      this.#dynamic.set(name, counter);
    }
    counter.inc();
  }
}
