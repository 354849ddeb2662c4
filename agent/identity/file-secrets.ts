/**
 * Secrets from files: mounted workload certificates and the files that DestinationRules and gateways name.
 *
 * Source: SecretManagerClient in istio.io/istio security/pkg/nodeagent/cache.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentLogger } from '../log.ts';
import { agentMetrics } from '../metrics.ts';
import type { CertificateFiles } from './identity-plan.ts';
import { FileWatcher } from './file-watcher.ts';
import { isFile } from './credential-files.ts';
import { rootsName, type Secret, splitCertificates, systemRootsName, workloadCertificateName } from './secret.ts';

const log = new AgentLogger('cache');

/** How long a half-written pair of files is waited for. */
const readTimeoutMs = 10_000;

const systemRootPaths = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/tls/cacert.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
] as const;

/** The system's bundle of root certificates; empty if there is none. */
export function findSystemRoots(): string {
  return systemRootPaths.find(path => isFile(path)) ?? '';
}

export class FileSecrets {
  readonly #workload: CertificateFiles;
  readonly #debounceMs: number;
  readonly #watcher: FileWatcher;
  readonly #closing = new AbortController();

  /** `onUpdate` is called with a secret's name `debounceMs` after one of its files changed. */
  constructor(workload: CertificateFiles, debounceMs: number, onUpdate: (name: string) => void) {
    this.#workload = workload;
    this.#debounceMs = debounceMs;
    this.#watcher = new FileWatcher(debounceMs, onUpdate);
  }

  /** The secret, or null if this name is not one of files. Rejects if its files stay unreadable. */
  async read(name: string): Promise<Secret | null> {
    const files = this.#locate(name);
    if (files === null) return null;
    try {
      const secret = 'roots' in files ? await this.#readRoots(name, files.roots) : await this.#readKeyPair(name, files);
      // The chain alone is watched: a new key comes with a new chain.
      this.#watcher.watch('roots' in files ? files.roots : files.chain, name);
      log.info('read certificate from file', { resource: name });
      return secret;
    } catch (error) {
      log.error(`failed to generate secret ${name} for proxy from file: ${(error as Error).message}`);
      agentMetrics.fileSecretFailures.increment();
      throw error;
    }
  }

  close(): void {
    this.#closing.abort();
    this.#watcher.close();
  }

  #locate(name: string): { readonly roots: string } | { readonly chain: string; readonly key: string } | null {
    if (name === rootsName) return hasContent(this.#workload.roots) ? { roots: this.#workload.roots } : null;
    if (name === workloadCertificateName) {
      const { chain, key } = this.#workload;
      return hasContent(chain) && hasContent(key) ? { chain, key } : null;
    }
    if (name === systemRootsName) {
      const roots = findSystemRoots();
      return roots === '' ? null : { roots };
    }
    const [kind, ...rest] = name.split(':');
    const paths = rest.join(':').split('~');
    if (kind === 'file-cert' && paths.length === 2) return { chain: paths[0], key: paths[1] };
    if (kind === 'file-root' && paths.length === 1) return { roots: paths[0] };
    return null;
  }

  #readRoots(name: string, path: string): Promise<Secret> {
    return this.#retry(() => {
      const roots = splitCertificates(readFileSync(path, 'utf8')).filter(isCertificate);
      if (roots.length === 0) throw new Error(`failed to parse root certs from file ${path}`);
      return { kind: 'roots', name, rootsPem: roots.join('') };
    });
  }

  #readKeyPair(name: string, files: { readonly chain: string; readonly key: string }): Promise<Secret> {
    return this.#retry(() => {
      const chainPem = readFileSync(files.chain, 'utf8');
      const keyPem = readFileSync(files.key, 'utf8');
      // Both are replaced one after the other: wait until they belong together.
      if (!new X509Certificate(chainPem).checkPrivateKey(createPrivateKey(keyPem))) {
        throw new Error('private key does not match public key');
      }
      return { kind: 'keyPair', name, chainPem, keyPem };
    });
  }

  async #retry(read: () => Secret): Promise<Secret> {
    const deadline = Date.now() + readTimeoutMs;
    for (let waitMs = this.#debounceMs; ; waitMs *= 1.5) {
      try {
        return read();
      } catch (error) {
        if (Date.now() + waitMs > deadline) throw error;
      }
      await sleep(waitMs, undefined, { signal: this.#closing.signal });
    }
  }
}

function hasContent(path: string): boolean {
  try {
    return readFileSync(path).length > 0;
  } catch {
    return false;
  }
}

function isCertificate(pem: string): boolean {
  try {
    new X509Certificate(pem);
    return true;
  } catch {
    log.error('ignoring an invalid root certificate');
    return false;
  }
}
