/**
 * Buries what others left behind: as PID 1 of a container the agent inherits the children of shells that `kubectl exec` started and
 * left, and they stay as zombies until their parent waits for them. Beyond pilot-agent, which leaves them.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { AgentLogger } from '../log.ts';

const log = new AgentLogger('default');

/** Twice as long a zombie has to be there: Node waits for the agent's own children itself, at once. */
const defaultIntervalMs = 30_000;
const noHang = 1;

/** Collects the exit of a child that has ended. */
type Bury = (pid: number) => void;

export class OrphanReaper {
  readonly #timer: NodeJS.Timeout;
  #seen: ReadonlySet<number> = new Set();
  #bury: Bury | null = null;

  constructor(intervalMs = defaultIntervalMs) {
    this.#timer = setInterval(() => this.#check(), intervalMs).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #check(): void {
    const zombies = findZombies();
    for (const pid of zombies) if (this.#seen.has(pid)) this.#reap(pid);
    this.#seen = new Set(zombies);
  }

  #reap(pid: number): void {
    try {
      this.#bury ??= loadWait();
      this.#bury(pid);
      log.debug(`reaped the orphan ${pid}`);
    } catch (error) {
      log.warn(`orphaned processes stay as zombies: ${(error as Error).message}`);
      this.close();
    }
  }
}

/** Ended children of this process that nobody has waited for. */
function findZombies(): readonly number[] {
  const pids = readdirSync('/proc').filter(name => /^\d+$/.test(name));
  return pids.filter(isOwnZombie).map(Number);
}

function isOwnZombie(pid: string): boolean {
  try {
    // `pid (command) state parent ...`; the command may hold anything.
    const [state, parent] = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return state === 'Z' && Number(parent) === process.pid;
  } catch {
    return false;
  }
}

/** Node has no call that waits for a process it did not start. Loaded with the first orphan: most containers never have one. */
function loadWait(): Bury {
  const libc = createRequire(import.meta.url)('koffi').load(null);
  const waitpid = libc.func('int waitpid(int pid, void *status, int options)');
  return pid => void waitpid(pid, null, noHang);
}
