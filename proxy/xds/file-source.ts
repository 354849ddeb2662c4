/**
 * `path_config_source`: one file with a DiscoveryResponse (or, for a secret, as Envoy reads it), as JSON, YAML or protobuf, read
 * again when it, or the watched directory around it, changes.
 *
 * Source: Envoy's FilesystemSubscriptionImpl and its watcher, which reacts to a move into place.
 */
import { type FSWatcher, readFileSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import { Logger } from '../../common/log.ts';
import type { ReceivedSotwResponse } from './discovery-services.ts';
import { SotwState } from './sotw-state.ts';
import type { DiscoverySource, Subscription, SubscriptionRequest } from './subscription.ts';

const log = new Logger('config');

/** A writer may touch a file several times: the last one counts. */
const settleMs = 20;

export interface FileSourceOptions {
  readonly path: string;
  /** Moves inside this directory are what is watched; null: the file's own directory, for the file's name. */
  readonly watchedDirectory: string | null;
  /**
   * Decodes the file by its extension.
   * @throws if it is no DiscoveryResponse.
   */
  readonly decode: (path: string, content: Buffer) => ReceivedSotwResponse | Promise<ReceivedSotwResponse>;
}

export class FileSource implements DiscoverySource {
  readonly #options: FileSourceOptions;
  readonly #watchers: FSWatcher[] = [];
  #timer: NodeJS.Timeout | null = null;

  constructor(options: FileSourceOptions) {
    this.#options = options;
  }

  /** Reads the file in a later turn, and whenever it changes. */
  subscribe({ typeUrl, names, handler }: SubscriptionRequest): Subscription {
    // A file is complete: what is not in it does not exist. The names decide what is used.
    const state = new SotwState(typeUrl, handler, names);
    const read = async (): Promise<void> => {
      try {
        const { path, decode } = this.#options;
        const answer = state.onResponse(await decode(path, readFileSync(path)));
        if (answer.error_detail) log.warn(`Filesystem config update rejected: ${answer.error_detail.message}`);
      } catch (error) {
        log.warn(`Filesystem config update failure: ${(error as Error).message}`);
        handler.onConnectionFailure();
      }
    };
    const schedule = (delayMs: number): void => {
      if (this.#timer !== null) clearTimeout(this.#timer);
      this.#timer = setTimeout(read, delayMs);
    };
    this.#watch(() => schedule(settleMs));
    schedule(0);
    return {
      updateNames: (added, removed) => {
        state.updateNames(added, removed);
        schedule(0);
      },
      close: () => this.stop(),
    };
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const watcher of this.#watchers.splice(0)) watcher.close();
  }

  #watch(onChange: () => void): void {
    const { path, watchedDirectory } = this.#options;
    const directory = watchedDirectory ?? dirname(path);
    const name = watchedDirectory === null ? basename(path) : null;
    try {
      const watcher = watch(directory, { persistent: false }, (_event, changed) => {
        if (name === null || changed === null || changed === name) onChange();
      });
      watcher.on('error', error => log.warn(`watching ${directory} failed: ${error.message}`));
      this.#watchers.push(watcher);
    } catch (error) {
      log.warn(`unable to watch ${directory}: ${(error as Error).message}`);
    }
  }
}
