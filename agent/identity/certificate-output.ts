/** Writes the workload's certificate to a directory (OUTPUT_CERTS), for applications that use it themselves. */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { explainSystemError } from '../failure-text.ts';
import type { Secret } from './secret.ts';

const fileNames = { roots: 'root-cert.pem', key: 'key.pem', chain: 'cert-chain.pem' } as const;

/** The files that are written to a directory. */
export function listCertificateFiles(directory: string): readonly string[] {
  return Object.values(fileNames).map(name => join(directory, name));
}

/**
 * Replaces the files whose content changed, each atomically. In a cluster other containers of the pod may read them.
 * @throws if the directory is not writable.
 */
export function writeCertificates(directory: string, secret: Secret, inCluster: boolean): void {
  const mode = inCluster ? 0o644 : 0o600;
  if (secret.kind === 'roots') replaceFile(join(directory, fileNames.roots), secret.rootsPem, mode);
  else {
    replaceFile(join(directory, fileNames.key), secret.keyPem, mode);
    replaceFile(join(directory, fileNames.chain), secret.chainPem, mode);
  }
}

function replaceFile(path: string, content: string, mode: number): void {
  if (readExisting(path) === content) return;
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    writeFileSync(temporary, content, { mode });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw explainSystemError(`write ${path}`, error);
  }
}

function readExisting(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
