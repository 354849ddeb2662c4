/** What every case needs around the proxy: programs, cores, and certificates. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { bin } from '../test/mesh/cluster/layout.ts';
import type { Certificates } from './bootstraps.ts';

/** Load and upstream share this core; the measured proxy has the other one for itself. */
export const loadCore = 0;
export const proxyCore = 1;

/** @throws naming the programs that are not installed. */
export function requirePrograms(...programs: string[]): void {
  const missing = programs.filter(program => {
    try {
      execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' });
      return false;
    } catch {
      return true;
    }
  });
  if (missing.length > 0)
    throw new Error(
      `bench: missing ${missing.join(', ')} (apt-get install wrk nghttp2-client nginx-light openssl strace util-linux)`,
    );
}

/** Whatever ends this process ends what it started, too. */
export function endChildrenWithProcess(): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
  process.once('exit', () => {
    for (const child of findChildren()) process.kill(child, 'SIGKILL');
  });
}

function findChildren(): number[] {
  const processes = readdirSync('/proc').filter(name => /^\d+$/.test(name));
  return processes.map(Number).filter(pid => parentOf(pid) === process.pid);
}

function parentOf(pid: number): number {
  try {
    return Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  } catch {
    // It ended meanwhile.
    return 0;
  }
}

/** A program that was built with the mesh's tools, or one on PATH. @throws if there is neither. */
export function findTool(name: string): string {
  const folders = [bin, ...(process.env.PATH ?? '').split(':')];
  const found = folders.map(folder => join(folder, name)).find(existsSync);
  if (found === undefined) throw new Error(`bench: no ${name}`);
  return found;
}

const keyOptions = {
  'P-256': ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
  'RSA-2048': ['-newkey', 'rsa:2048', '-nodes'],
};

/** One CA and one certificate that both sides present, in a chain with its root as istiod issues it. */
export function makeCertificates(parent: string, keyType: keyof typeof keyOptions): Certificates {
  const folder = join(parent, keyType);
  mkdirSync(folder);
  const file = (name: string) => join(folder, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' });
  const key = keyOptions[keyType];
  openssl('req', '-x509', ...key, '-keyout', file('ca.key'), '-out', file('ca.pem'), '-subj', '/CN=bench ca', '-days', '2');
  openssl('req', ...key, '-keyout', file('key.pem'), '-out', file('request.pem'), '-subj', '/CN=bench');
  writeFileSync(
    file('san.cnf'),
    'subjectAltName=DNS:bench,URI:spiffe://cluster.local/ns/bench/sa/bench\nextendedKeyUsage=serverAuth,clientAuth',
  );
  const signing = ['-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-CAcreateserial', '-extfile', file('san.cnf'), '-days', '2'];
  openssl('x509', '-req', '-in', file('request.pem'), '-out', file('certificate.pem'), ...signing);
  writeFileSync(file('chain.pem'), `${readFileSync(file('certificate.pem'))}${readFileSync(file('ca.pem'))}`);
  return { ca: file('ca.pem'), certificate: file('chain.pem'), key: file('key.pem') };
}

export async function waitForPort(port: number): Promise<void> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const open = await new Promise<boolean>(resolve => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.destroy();
        resolve(true);
      }).on('error', () => resolve(false));
    });
    if (open) return;
    if (Date.now() > deadline) throw new Error(`bench: nothing listens on port ${port}`);
    await wait(20);
  }
}
