/**
 * The token of a machine of Google's cloud: asked of its metadata server, and kept in the file that every call to istiod reads.
 *
 * Source: istio.io/istio security/pkg/credentialfetcher/plugin/gce.go.
 */
import { writeFileSync } from 'node:fs';
import { googleMetadataOrigin, readMetadata } from '../config/platform/metadata-server.ts';
import { explainSystemError } from '../failure-text.ts';
import { AgentLogger } from '../log.ts';

const log = new AgentLogger('gcecred');

const checkIntervalMs = 300_000;
/** A token with less of its life left is replaced. */
const graceMs = 1_500_000;
/** After a failure, until there is a token. */
const retryMs = 5000;

export type GceTokenOptions = {
  /** `host[:port]` of the metadata server; empty for Google's. */
  readonly metadataHost: string;
  /** Whom the token is for: the trust domain. */
  readonly audience: string;
  /** Where it is kept. */
  readonly path: string;
};

export class GceToken {
  readonly #options: GceTokenOptions;
  #expiresMs = 0;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: GceTokenOptions) {
    this.#options = options;
  }

  /** Resolves after the first attempt; what fails is logged and tried again. */
  async start(): Promise<void> {
    const isFresh = this.#expiresMs - Date.now() > graceMs || (await this.#renew());
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.start(), isFresh ? checkIntervalMs : retryMs).unref();
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  async #renew(): Promise<boolean> {
    const { metadataHost, audience, path } = this.#options;
    const query = `audience=${encodeURIComponent(audience)}&format=full`;
    const url = `${googleMetadataOrigin(metadataHost)}/computeMetadata/v1/instance/service-accounts/default/identity?${query}`;
    const token = (await readMetadata(url, { 'Metadata-Flavor': 'Google' }))?.trim();
    if (token === undefined || token === '') {
      log.error(
        `failed to get the identity token of this machine from ${url}: is this a machine of Google's cloud with a service account?`,
      );
      return false;
    }
    try {
      writeFileSync(path, token, { mode: 0o640 });
    } catch (error) {
      log.error(explainSystemError(`write the identity token of this machine to ${path}`, error).message);
      return false;
    }
    this.#expiresMs = readExpiry(token);
    log.debug(`got an identity token of ${token.length} bytes`);
    return true;
  }
}

/** When a token expires, in milliseconds of the wall clock; 0 if it does not say, and is then always replaced. */
function readExpiry(token: string): number {
  try {
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { readonly exp?: unknown };
    return typeof claims.exp === 'number' ? claims.exp * 1000 : 0;
  } catch {
    return 0;
  }
}
