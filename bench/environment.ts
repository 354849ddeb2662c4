/** What every case needs around the proxy: programs, cores, certificates, and an nginx upstream. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
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
  writeFileSync(file('san.cnf'), 'subjectAltName=DNS:bench,URI:spiffe://bench/sa/bench\nextendedKeyUsage=serverAuth,clientAuth');
  const signing = ['-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-CAcreateserial', '-extfile', file('san.cnf'), '-days', '2'];
  openssl('x509', '-req', '-in', file('request.pem'), '-out', file('certificate.pem'), ...signing);
  writeFileSync(file('chain.pem'), `${readFileSync(file('certificate.pem'))}${readFileSync(file('ca.pem'))}`);
  return { ca: file('ca.pem'), certificate: file('chain.pem'), key: file('key.pem') };
}

/** nginx, plain and with mutual TLS: answers 64 bytes, or as many as the path says, and reads what is posted. */
export async function startUpstream(
  folder: string,
  plainPort: number,
  tlsPort: number,
  certificates: Certificates,
  bodySizes: readonly number[],
): Promise<ChildProcess> {
  const config = join(folder, 'nginx.conf');
  const files = join(folder, 'files');
  mkdirSync(files);
  for (const bytes of bodySizes) writeFileSync(join(files, String(bytes)), Buffer.alloc(bytes, 'x'));
  writeFileSync(
    config,
    `daemon off; worker_processes 1; user root; pid ${join(folder, 'nginx.pid')}; error_log /dev/null crit;
events { worker_connections 16384; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 600s;
  client_max_body_size 0; client_body_buffer_size 2m; client_body_temp_path ${join(folder, 'bodies')}; open_file_cache max=100;
  server {
    listen 127.0.0.1:${plainPort} backlog=4096;
    listen 127.0.0.1:${tlsPort} ssl backlog=4096;
    ssl_certificate ${certificates.certificate}; ssl_certificate_key ${certificates.key};
    ssl_client_certificate ${certificates.ca}; ssl_verify_client optional;
    location = / { return 200 "${'x'.repeat(64)}"; }
    location / { root ${files}; }
  }
}
`,
  );
  const nginx = spawn('taskset', ['-c', String(loadCore), 'nginx', '-c', config, '-p', folder], { stdio: 'ignore' });
  await waitForPort(plainPort);
  return nginx;
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
