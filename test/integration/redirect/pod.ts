/** A pod in a network namespace with the redirection of a sidecar, and the world outside in another, joined by one cable. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Command } from './peer.ts';

const root = join(import.meta.dirname, '../../..');
export const adminPort = 15_000;

export type Family = 'IPv4' | 'IPv6' | 'dual stack';

export type Redirection = { readonly mode?: 'REDIRECT' | 'TPROXY'; readonly tool?: 'iptables' | 'nftables' };

/** Addresses by version. The virtual one exists nowhere. */
export const addresses = {
  4: { pod: '10.88.0.1', outside: '10.88.0.2', virtual: '10.96.0.5', any: '0.0.0.0', source: '127.0.0.6', loopback: '127.0.0.1' },
  6: { pod: 'fd88::1', outside: 'fd88::2', virtual: 'fd96::5', any: '::', source: '::6', loopback: '::1' },
} as const;

export function versionsOf(family: Family): readonly (4 | 6)[] {
  if (family === 'dual stack') return [4, 6];
  return family === 'IPv4' ? [4] : [6];
}

/** Whom a process runs as; rules tell owners of sockets apart. */
export type Identity = { readonly uid: number; readonly gid: number };

/** The test runner's hooks do not go along: they write where only their user may. */
function becoming({ uid, gid }: Identity): string[] {
  return ['env', '-u', 'NODE_OPTIONS', 'setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups'];
}

/** A helper process in a namespace. */
export class Peer {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (result: string) => void; reject: (error: Error) => void }>();
  #nextId = 1;

  constructor(namespace: string, identity: Identity | null = null) {
    const as = identity === null ? [] : becoming(identity);
    const command = ['netns', 'exec', namespace, ...as, process.execPath, join(import.meta.dirname, 'peer.ts'), 'peer'];
    this.#child = spawn('ip', command, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    this.#child.on('message', ({ id, result, error }: { id: number; result?: string; error?: string }) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(result as string);
      else waiting?.reject(new Error(error));
    });
  }

  do(command: Command): Promise<string> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.send({ id, command });
    });
  }

  stop(): void {
    if (this.#child.connected) this.#child.disconnect();
  }
}

function run(...command: string[]): string {
  const { status, stdout, stderr } = spawnSync(command[0], command.slice(1), { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command.join(' ')}: ${stderr}`);
  return stdout;
}

let nextPod = 0;

export class Pod {
  readonly app: Peer;
  readonly outside: Peer;
  /** Of the namespaces, with i for the pod and o for outside. */
  readonly name = `rd${process.pid}-${nextPod++}`;
  readonly #peers: Peer[] = [];
  #proxy: ChildProcess | null = null;
  #log = '';

  constructor(family: Family) {
    const [inner, outer] = this.#namespaces;
    for (const name of this.#namespaces) run('ip', 'netns', 'add', name);
    run('ip', '-n', inner, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', outer);
    for (const [name, own] of [
      [inner, 'pod'],
      [outer, 'outside'],
    ] as const) {
      for (const device of ['lo', 'eth0']) run('ip', '-n', name, 'link', 'set', device, 'up');
      for (const version of versionsOf(family)) {
        const address = `${addresses[version][own]}/${version === 4 ? 24 : 64}`;
        run('ip', '-n', name, 'addr', 'add', address, 'dev', 'eth0', ...(version === 6 ? ['nodad'] : []));
      }
    }
    for (const version of versionsOf(family)) {
      run('ip', `-${version}`, '-n', inner, 'route', 'add', 'default', 'via', addresses[version].outside);
    }
    this.app = new Peer(inner);
    this.outside = new Peer(outer);
  }

  get #namespaces(): readonly [string, string] {
    return [`${this.name}i`, `${this.name}o`];
  }

  /** The init container's step, with the arguments of the injection template. */
  redirect(family: Family, { mode = 'REDIRECT', tool = 'iptables' }: Redirection = {}): void {
    const arguments_ = `-p 15001 -z 15006 -u 1337 -m ${mode} -i * -x  -b * -d 15090,15021,15020`.split(' ');
    if (tool === 'nftables') arguments_.push('--native-nftables');
    const dual = family === 'dual stack' ? ['ISTIO_DUAL_STACK=true'] : [];
    this.exec('env', ...dual, process.execPath, join(root, 'iptables/main.ts'), ...arguments_);
  }

  /** Runs a command in the pod's namespace; returns what it printed. */
  exec(...command: string[]): string {
    return run('ip', 'netns', 'exec', this.#namespaces[0], ...command);
  }

  /** The same in the namespace outside. */
  execOutside(...command: string[]): string {
    return run('ip', 'netns', 'exec', this.#namespaces[1], ...command);
  }

  /** Another process in the pod. */
  startPeer(identity: Identity): Peer {
    const peer = new Peer(this.#namespaces[0], identity);
    this.#peers.push(peer);
    return peer;
  }

  /** The rules let the proxy's group out: that way it may stay root, and read what root reads. */
  async startProxy(
    command: { command: string; args: readonly string[] },
    bootstrap: object,
    folder: string,
    concurrency: number,
  ): Promise<void> {
    const file = join(folder, `${this.name}.json`);
    const admin = { address: { socket_address: { address: '127.0.0.1', port_value: adminPort } } };
    writeFileSync(file, JSON.stringify({ ...bootstrap, admin }));
    const prefix = ['netns', 'exec', this.#namespaces[0], 'setpriv', '--regid=1337', '--clear-groups', command.command];
    const options = ['-c', file, '--concurrency', String(concurrency), '--disable-hot-restart', '-l', 'warning'];
    const child = spawn('ip', [...prefix, ...command.args, ...options], { stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr?.on('data', chunk => (this.#log += chunk));
    this.#proxy = child;
    while (child.exitCode === null) {
      const state = await this.fetch('/ready').catch(() => '');
      if (state.startsWith('LIVE')) return;
      await wait(50);
    }
    throw new Error(`the proxy ended: ${this.#log}`);
  }

  /** What the proxy wrote. */
  get log(): string {
    return this.#log;
  }

  fetch(path: string): Promise<string> {
    return this.app.do({ kind: 'fetch', port: adminPort, path });
  }

  /** A number of the statistics; 0 if there is none. */
  async stat(name: string): Promise<number> {
    const line = (await this.fetch(`/stats?filter=${encodeURIComponent(name.replace(/[[\]|]/g, '.'))}`))
      .split('\n')
      .find(text => text.startsWith(`${name}: `));
    return Number(line?.split(': ')[1] ?? 0);
  }

  async stopProxy(): Promise<void> {
    const child = this.#proxy;
    this.#proxy = null;
    if (child === null || child.exitCode !== null) return;
    const exited = new Promise(resolve => child.once('exit', resolve));
    child.kill('SIGKILL');
    await exited;
  }

  async remove(): Promise<void> {
    await this.stopProxy();
    this.app.stop();
    this.outside.stop();
    for (const peer of this.#peers) peer.stop();
    for (const name of this.#namespaces) spawnSync('ip', ['netns', 'del', name]);
  }
}
