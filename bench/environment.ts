/** What every case needs around the proxy: certificates, an nginx upstream, and wrk. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import type { Certificates } from './cases.ts';

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
    throw new Error(`bench: missing ${missing.join(', ')} (apt-get install wrk nginx-light openssl util-linux)`);
}

/** One CA and one P-256 certificate that both sides present. */
export function makeCertificates(folder: string): Certificates {
  const file = (name: string) => join(folder, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl('req', '-x509', ...key, '-keyout', file('ca.key'), '-out', file('ca.pem'), '-subj', '/CN=bench ca', '-days', '2');
  openssl('req', ...key, '-keyout', file('key.pem'), '-out', file('request.pem'), '-subj', '/CN=bench');
  writeFileSync(file('san.cnf'), 'subjectAltName=DNS:bench,URI:spiffe://bench/sa/bench\nextendedKeyUsage=serverAuth,clientAuth');
  openssl('x509', '-req', '-in', file('request.pem'), '-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-CAcreateserial',
    '-out', file('certificate.pem'), '-extfile', file('san.cnf'), '-days', '2'); // biome-ignore format: one option a word
  return { ca: file('ca.pem'), certificate: file('certificate.pem'), key: file('key.pem') };
}

/** nginx that answers 64 bytes, plain and with mutual TLS. */
export async function startUpstream(
  folder: string,
  plainPort: number,
  tlsPort: number,
  certificates: Certificates,
): Promise<ChildProcess> {
  const config = join(folder, 'nginx.conf');
  writeFileSync(
    config,
    `daemon off; worker_processes 1; pid ${join(folder, 'nginx.pid')}; error_log /dev/null crit;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 600s;
  server {
    listen 127.0.0.1:${plainPort};
    listen 127.0.0.1:${tlsPort} ssl;
    ssl_certificate ${certificates.certificate}; ssl_certificate_key ${certificates.key};
    ssl_client_certificate ${certificates.ca}; ssl_verify_client optional;
    location / { return 200 "${'x'.repeat(64)}"; }
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

export interface LoadResult {
  readonly requests: number;
  readonly errors: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Closed-loop load with keep-alive connections. */
export async function runWrk(port: number, connections: number, seconds: number): Promise<LoadResult> {
  const args = [
    '-c',
    String(loadCore),
    'wrk',
    '-t1',
    `-c${connections}`,
    `-d${seconds}s`,
    '--latency',
    `http://127.0.0.1:${port}/`,
  ];
  const child = spawn('taskset', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', chunk => {
    output += chunk;
  });
  await new Promise(resolve => child.once('close', resolve));
  const number = (pattern: RegExp) => Number(pattern.exec(output)?.[1] ?? 0);
  const errors = [...output.matchAll(/(?:connect|read|write|timeout|responses:) (\d+)/g)].reduce(
    (sum, match) => sum + Number(match[1]),
    0,
  );
  return {
    requests: number(/(\d+) requests in/),
    errors,
    seconds: number(/requests in ([\d.]+)s/),
    p50Ms: milliseconds(/50%\s+([\d.]+)(us|ms|s)/.exec(output)),
    p99Ms: milliseconds(/99%\s+([\d.]+)(us|ms|s)/.exec(output)),
  };
}

function milliseconds(match: RegExpExecArray | null): number {
  if (match === null) return Number.NaN;
  return Number(match[1]) * { us: 0.001, ms: 1, s: 1000 }[match[2] as 'us' | 'ms' | 's'];
}
