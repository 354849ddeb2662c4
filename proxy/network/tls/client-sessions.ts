/** Sessions that a client keeps to resume, in OpenSSL's memory. */
import { declareOpenSsl } from './openssl.ts';

const calls = declareOpenSsl<{ SSL_SESSION_free(session: number): void; SSL_SESSION_up_ref(session: number): number }>({
  SSL_SESSION_free: 'void SSL_SESSION_free(int64_t session)',
  SSL_SESSION_up_ref: 'int SSL_SESSION_up_ref(int64_t session)',
});

/** Server names whose sessions are kept. */
const maxNames = 64;

/** Pointers to SSL_SESSION by server name, newest last; each is one reference. */
type SessionsByName = Map<string, number[]>;

function freeAll(sessions: SessionsByName): void {
  for (const pointers of sessions.values()) for (const pointer of pointers) calls.SSL_SESSION_free(pointer);
  sessions.clear();
}

const abandoned = new FinalizationRegistry<SessionsByName>(freeAll);

export class ClientSessions {
  readonly #byName: SessionsByName = new Map();
  readonly #maxPerName: number;

  /** `maxPerName` is 0 where nothing is resumed. */
  constructor(maxPerName: number) {
    this.#maxPerName = maxPerName;
    abandoned.register(this, this.#byName);
  }

  /** Takes over the reference; false if nothing is kept. */
  keep(serverName: string, session: number): boolean {
    if (this.#maxPerName === 0) return false;
    let sessions = this.#byName.get(serverName);
    if (sessions === undefined) {
      if (this.#byName.size >= maxNames) this.clear();
      sessions = [];
      this.#byName.set(serverName, sessions);
    }
    sessions.push(session);
    if (sessions.length > this.#maxPerName) calls.SSL_SESSION_free(sessions.shift() as number);
    return true;
  }

  /**
   * A session to offer, 0: none. The only one stays, for TLS 1.2: one of TLS 1.3 OpenSSL itself does not offer twice. The caller
   * frees it (`freeSession`).
   */
  take(serverName: string): number {
    const sessions = this.#byName.get(serverName);
    if (sessions === undefined || sessions.length === 0) return 0;
    if (sessions.length > 1) return sessions.pop() as number;
    calls.SSL_SESSION_up_ref(sessions[0]);
    return sessions[0];
  }

  /** Forgets those of one server. */
  drop(serverName: string): void {
    for (const session of this.#byName.get(serverName) ?? []) calls.SSL_SESSION_free(session);
    this.#byName.delete(serverName);
  }

  clear(): void {
    freeAll(this.#byName);
  }
}

export function freeSession(session: number): void {
  if (session !== 0) calls.SSL_SESSION_free(session);
}
