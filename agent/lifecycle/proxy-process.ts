/**
 * The proxy as a child process.
 *
 * Neither half may outlive the other. As PID 1 of a container the kernel sees to it; elsewhere a guard process holds the read
 * end of a pipe from the agent, and kills the proxy when the pipe closes without a word.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { AgentLogger } from '../log.ts';
import type { PreparedProxy } from './prepared-proxy.ts';

const log = new AgentLogger('default');

export type ProxyExit =
  | { readonly kind: 'exited'; readonly code: number | null; readonly signal: NodeJS.Signals | null }
  | { readonly kind: 'failed'; readonly error: Error };

export type ProxyProcessOptions = {
  readonly binaryPath: string;
  readonly arguments: readonly string[];
  readonly variables: Readonly<Record<string, string | undefined>>;
  /** Runs the proxy as Istio's user; for setups where the agent must be root. */
  readonly dropsRoot: boolean;
  /** Has this process's variables and user. */
  readonly prepared: PreparedProxy | null;
};

const istioUserId = 1337;

/** Waits for a line or the end of standard input; the end means that the agent is gone. */
const guardScript = 'read -r word; [ "$word" = done ] || kill -9 "$0"';

export class ProxyProcess {
  readonly exited: Promise<ProxyExit>;
  readonly #child: ChildProcess;
  #guard: ChildProcess | null = null;

  constructor({ binaryPath, arguments: args, variables, dropsRoot, prepared }: ProxyProcessOptions) {
    log.info(`Envoy command: [${args.join(' ')}]`);
    if (dropsRoot) prepared?.discard();
    this.#child =
      prepared?.take(binaryPath, args) ??
      spawn(binaryPath, args, {
        stdio: ['ignore', 'inherit', 'inherit'],
        env: variables as NodeJS.ProcessEnv,
        ...(dropsRoot ? { uid: istioUserId, gid: istioUserId } : {}),
      });
    this.exited = new Promise(resolve => {
      this.#child.once('error', error => resolve({ kind: 'failed', error }));
      this.#child.once('exit', (code, signal) => resolve({ kind: 'exited', code, signal }));
    });
    void this.exited.then(() => this.#dismissGuard());
    if (process.pid !== 1 && this.#child.pid !== undefined) this.#guard = startGuard(this.#child.pid);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** A guard that kills by a number must not outlive the process that had it. */
  #dismissGuard(): void {
    this.#guard?.stdin?.end('done\n');
    this.#guard = null;
  }
}

function startGuard(pid: number): ChildProcess {
  const guard = spawn('/bin/sh', ['-c', guardScript, String(pid)], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
  guard.on('error', error => log.warn(`the proxy is not guarded against the agent's death: ${error.message}`));
  guard.stdin?.on('error', () => {});
  guard.unref();
  return guard;
}
