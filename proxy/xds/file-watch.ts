/** Tells when files may have changed: their directories are watched, since a new version is moved into place. */
import { type FSWatcher, watch } from 'node:fs';
import { Logger } from '../../common/log.ts';

const log = new Logger('config');

/** A writer may touch several files several times: the last one counts. */
const settleMs = 20;

export interface WatchedDirectory {
  readonly path: string;
  /** Only entries of this name count; null: all of them. */
  readonly entry: string | null;
}

/** Calls back some time after each change. A directory that cannot be watched is a warning. The returned function ends it. */
export function watchDirectories(directories: readonly WatchedDirectory[], onChange: () => void): () => void {
  let timer: NodeJS.Timeout | null = null;
  const schedule = (): void => {
    if (timer !== null) clearTimeout(timer);
    timer = setTimeout(onChange, settleMs);
  };
  const watchers = directories.flatMap(directory => {
    const watcher = watchDirectory(directory, schedule);
    return watcher === null ? [] : [watcher];
  });
  return () => {
    if (timer !== null) clearTimeout(timer);
    for (const watcher of watchers) watcher.close();
  };
}

function watchDirectory({ path, entry }: WatchedDirectory, onEvent: () => void): FSWatcher | null {
  try {
    const watcher = watch(path, { persistent: false }, (_event, changed) => {
      if (entry === null || changed === null || changed === entry) onEvent();
    });
    watcher.on('error', error => log.warn(`watching ${path} failed: ${error.message}`));
    return watcher;
  } catch (error) {
    log.warn(`unable to watch ${path}: ${(error as Error).message}`);
    return null;
  }
}
