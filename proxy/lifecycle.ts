/**
 * How the process ends: signals, crashes, and the order of a graceful exit.
 *
 * Source: Envoy's signal handling: SIGTERM and SIGINT end it at once with status 0, after access logs are written; SIGUSR1
 * reopens the logs. Draining before that is the agent's business, over the admin API.
 */
import { Logger } from '../common/log.ts';
import { exitProcess } from './network/socket-options.ts';
import { crashExitCode } from './workers/worker-pool.ts';

const log = new Logger('main');

/** A worker that does not answer in this time does not hold up the exit. */
const flushDeadlineMs = 1000;

export interface LifecycleActions {
  readonly reopenLogs: () => void;
  /** Writes out what is buffered. */
  readonly flush: () => Promise<void>;
  /** Stops workers and streams. */
  readonly stop: () => void;
}

export class Lifecycle {
  readonly #actions: LifecycleActions;
  #exiting = false;

  constructor(actions: LifecycleActions) {
    this.#actions = actions;
  }

  /** Installs the handlers; call it once per process. */
  install(): void {
    process.on('SIGTERM', () => this.exit('caught ENVOY_SIGTERM'));
    process.on('SIGINT', () => this.exit('caught SIGINT'));
    process.on('SIGUSR1', () => this.#actions.reopenLogs());
    process.on('SIGHUP', () => log.warn('caught and eating SIGHUP. See documentation for how to hot restart.'));
    process.on('uncaughtException', error => crash('uncaught exception', error));
    process.on('unhandledRejection', error => crash('unhandled rejection', error));
  }

  /** Ends the process with status 0 as soon as buffered logs are written. */
  exit(reason: string): void {
    if (this.#exiting) return;
    this.#exiting = true;
    log.warn(reason);
    const deadline = setTimeout(() => exitProcess(0), flushDeadlineMs);
    this.#actions.flush().then(
      () => {
        clearTimeout(deadline);
        this.#actions.stop();
        exitProcess(0);
      },
      error => crash('flushing the logs failed', error),
    );
  }
}

/** Ends the process as a crash would. */
export function crash(what: string, error: unknown): never {
  log.critical(`${what}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  exitProcess(crashExitCode);
}
