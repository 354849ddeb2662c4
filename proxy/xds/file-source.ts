/**
 * `path_config_source`: one file with a DiscoveryResponse (or, for a secret, as Envoy reads it), as JSON, YAML or protobuf, read
 * again when it, or the watched directory around it, changes.
 *
 * Source: Envoy's FilesystemSubscriptionImpl and its watcher, which reacts to a move into place.
 */
import { readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { Logger } from '../../common/log.ts';
import type { ReceivedSotwResponse } from './discovery-services.ts';
import { watchDirectories } from './file-watch.ts';
import { finish } from './gradual.ts';
import { SotwState } from './sotw-state.ts';
import type { DiscoverySource, Subscription, SubscriptionRequest } from './subscription.ts';

const log = new Logger('config');

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
  #stopWatching: (() => void) | null = null;
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
        const answer = finish(state.onResponse(await decode(path, readFileSync(path))));
        if (answer.error_detail) log.warn(`Filesystem config update rejected: ${answer.error_detail.message}`);
      } catch (error) {
        log.warn(`Filesystem config update failure: ${(error as Error).message}`);
        handler.onConnectionFailure();
      }
    };
    const schedule = (): void => {
      if (this.#timer !== null) clearTimeout(this.#timer);
      this.#timer = setTimeout(read, 0);
    };
    this.#watch(read);
    schedule();
    return {
      updateNames: (added, removed) => {
        state.updateNames(added, removed);
        schedule();
      },
      close: () => this.stop(),
    };
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#stopWatching?.();
  }

  #watch(onChange: () => void): void {
    const { path, watchedDirectory } = this.#options;
    const watched =
      watchedDirectory === null ? { path: dirname(path), entry: basename(path) } : { path: watchedDirectory, entry: null };
    this.#stopWatching = watchDirectories([watched], onChange);
  }
}
