/**
 * A proxy that loads while the agent still works out how to start it: loading is most of the start of either. It takes its command
 * line on standard input, and ends by itself when that closes without one. Only this package's own proxy can be prepared.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { awaitArgumentsFlag } from '../../common/await-arguments.ts';

/** Where the injected configuration, which names no other, has the proxy. */
const defaultBinaryPath = '/usr/local/bin/envoy';
const ownLauncher = /\/bin\/sidecar-proxy$/;

export class PreparedProxy {
  readonly #path: string;
  readonly #child: ChildProcess;
  #ended = false;

  constructor(path: string) {
    this.#path = path;
    this.#child = spawn(path, [awaitArgumentsFlag], { stdio: ['pipe', 'inherit', 'inherit'] });
    this.#child.once('error', () => this.#end());
    this.#child.once('exit', () => this.#end());
    // What happens to the process is told by its exit.
    this.#child.stdin?.on('error', () => {});
  }

  #end(): void {
    this.#ended = true;
  }

  /** The process, started with these arguments; null if it is not one of `binaryPath`, or has ended. It can be taken once. */
  take(binaryPath: string, args: readonly string[]): ChildProcess | null {
    if (this.#ended || resolvePath(binaryPath) !== this.#path) {
      this.discard();
      return null;
    }
    this.#ended = true;
    this.#child.stdin?.end(JSON.stringify(args));
    return this.#child;
  }

  /** Ends it, unless it was taken. */
  discard(): void {
    if (!this.#ended) this.#child.kill('SIGKILL');
    this.#ended = true;
  }
}

/** Prepares what is installed as the sidecar's proxy; null if that is another program. */
export function prepareProxy(binaryPath = defaultBinaryPath): PreparedProxy | null {
  const path = resolvePath(binaryPath);
  return path !== null && ownLauncher.test(path) ? new PreparedProxy(path) : null;
}

function resolvePath(path: string): string | null {
  try {
    return realpathSync(path);
  } catch {
    return null;
  }
}
