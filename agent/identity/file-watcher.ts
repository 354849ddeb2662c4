/**
 * Tells when the content of files changes, however they are replaced: written in place, renamed over, or by a symlink that is
 * swapped (`..data` of Kubernetes volumes).
 */
import { type FSWatcher, readFileSync, realpathSync, watch } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { AgentLogger } from '../log.ts';
import { agentMetrics } from '../metrics.ts';

const log = new AgentLogger('cache');

/** What inotify misses (a directory that did not exist, overlay file systems) is found this much later. */
const recheckMs = 10_000;

type WatchedFile = { content: string | null; readonly names: Set<string>; watchers: FSWatcher[]; pending: NodeJS.Timeout | null };

export class FileWatcher {
  readonly #files = new Map<string, WatchedFile>();
  readonly #debounceMs: number;
  readonly #onChange: (name: string) => void;
  readonly #recheck: NodeJS.Timeout;

  constructor(debounceMs: number, onChange: (name: string) => void) {
    this.#debounceMs = debounceMs;
    this.#onChange = onChange;
    this.#recheck = setInterval(() => {
      for (const [path, file] of this.#files) this.#check(path, file);
    }, recheckMs);
  }

  /** Reports `name` after each change of the file; the same pair again does nothing. */
  watch(path: string, name: string): void {
    const absolute = resolve(path);
    const known = this.#files.get(absolute);
    if (known !== undefined) {
      known.names.add(name);
      return;
    }
    log.info(`adding watcher for file certificate ${absolute}`);
    const file: WatchedFile = { content: readContent(absolute), names: new Set([name]), watchers: [], pending: null };
    this.#files.set(absolute, file);
    this.#observe(absolute, file);
  }

  close(): void {
    clearInterval(this.#recheck);
    for (const file of this.#files.values()) {
      for (const watcher of file.watchers) watcher.close();
      if (file.pending !== null) clearTimeout(file.pending);
    }
    this.#files.clear();
  }

  /** Watches the directories: of the name, and of what it resolves to. */
  #observe(path: string, file: WatchedFile): void {
    for (const watcher of file.watchers) watcher.close();
    file.watchers = [];
    const directories = new Set([dirname(path)]);
    try {
      directories.add(dirname(realpathSync(path)));
    } catch {
      // Not there now: its directory tells when it comes.
    }
    for (const directory of directories) {
      try {
        const watcher = watch(directory, () => this.#schedule(path, file));
        watcher.on('error', () => watcher.close());
        file.watchers.push(watcher);
      } catch (error) {
        log.error(`error adding watcher for ${directory}: ${(error as Error).message}`);
        agentMetrics.fileWatcherFailures.increment();
      }
    }
  }

  #schedule(path: string, file: WatchedFile): void {
    if (file.pending !== null) clearTimeout(file.pending);
    file.pending = setTimeout(() => {
      file.pending = null;
      this.#check(path, file);
    }, this.#debounceMs);
  }

  #check(path: string, file: WatchedFile): void {
    if (!this.#files.has(path)) return;
    const content = readContent(path);
    this.#observe(path, file);
    if (content === file.content) return;
    file.content = content;
    if (content === null) return;
    log.info(`event for file certificate ${path}, pushing to proxy`);
    for (const name of file.names) this.#onChange(name);
  }
}

function readContent(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
