/** Starts a proxy (this one or Envoy) on a bootstrap and waits until it is ready; used by the parity and integration suites. */
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

const root = join(import.meta.dirname, '..', '..');

export interface ProxyProcess {
  readonly name: string;
  readonly adminPort: number;
  readonly child: ChildProcess;
  /** What it wrote to standard error so far. */
  readonly log: () => string;
  stop(): Promise<void>;
}

/** How to start this proxy: from source, or what $PROXY_COMMAND names (the built one, or Envoy to test the suite itself). */
export function ownCommand(): { command: string; args: string[] } {
  if (process.env.PROXY_COMMAND) return { command: process.env.PROXY_COMMAND, args: [] };
  return { command: process.execPath, args: [join(root, 'proxy', 'main.ts')] };
}

export interface StartOptions {
  readonly name: string;
  readonly command: string;
  readonly args?: readonly string[];
  /** A bootstrap as plain JSON, without admin: the admin address is added. */
  readonly bootstrap: object;
  /** Folder for the bootstrap file. */
  readonly folder: string;
  readonly concurrency?: number;
  readonly extraArgs?: readonly string[];
  readonly readyTimeoutMs?: number;
}

/** @throws with the process's log if it is not ready in time. */
export async function startProxy(options: StartOptions): Promise<ProxyProcess> {
  const adminPort = await findFreePort();
  const file = join(options.folder, `${options.name}.json`);
  const admin = { address: { socket_address: { address: '127.0.0.1', port_value: adminPort } } };
  writeFileSync(file, JSON.stringify({ ...options.bootstrap, admin }, null, 1));
  const args = ['-c', file, '--concurrency', String(options.concurrency ?? 1), '--disable-hot-restart'];
  args.push('--file-flush-interval-msec', '20', '-l', 'warning', ...(options.extraArgs ?? []));
  const child = spawn(options.command, [...(options.args ?? []), ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  child.stderr?.on('data', chunk => {
    log += chunk;
  });
  const exited = new Promise<void>(resolve => child.once('exit', () => resolve()));
  const proxy: ProxyProcess = {
    name: options.name,
    adminPort,
    child,
    log: () => log,
    async stop() {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
      await exited;
      clearTimeout(timer);
    },
  };
  await waitUntilReady(proxy, options.readyTimeoutMs ?? 20_000);
  return proxy;
}

async function waitUntilReady(proxy: ProxyProcess, timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (Date.now() < deadline && proxy.child.exitCode === null) {
    const state = await getAdmin(proxy.adminPort, '/ready').catch(() => '');
    if (state.startsWith('LIVE')) return;
    await wait(50);
  }
  await proxy.stop();
  throw new Error(`${proxy.name} is not ready after ${timeoutMs} ms; exit code ${proxy.child.exitCode}; log:\n${proxy.log()}`);
}

/** Body of an admin page, whatever its status. */
export function getAdmin(port: number, path: string, method = 'GET'): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port, path, method, agent: false }, response => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', chunk => {
        body += chunk;
      });
      response.on('end', () => resolve(body));
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}

let nextPort = 12_000 + Math.floor(Math.random() * 18_000);

/** A port that nothing uses, outside the range of ephemeral ports, and never the same one twice in a process. */
export async function findFreePort(): Promise<number> {
  for (;;) {
    nextPort = nextPort >= 31_000 ? 12_000 : nextPort + 1;
    const port = nextPort;
    if (await canListen(port)) return port;
  }
}

function canListen(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
