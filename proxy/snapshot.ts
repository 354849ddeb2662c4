/**
 * Entry of the proxy's start-up snapshot: a heap that holds the main thread's modules, already loaded, with the message types
 * that every start needs. Runs once, when the package is built; a starting proxy calls `startProxy`.
 */
import { runCommand } from './command.ts';
// Loaded on demand elsewhere; here it is what the snapshot is for.
import './server.ts';
import { warmUp } from './warm-up.ts';

interface SnapshotGlobals {
  /** File URL of the program; what `import.meta.url` stands for in the snapshot. */
  programUrl: string;
  /** Folder with resources to learn from. */
  warmUpPath?: string;
  startProxy: (url: string) => Promise<void>;
}

const globals = globalThis as unknown as SnapshotGlobals;

globals.startProxy = url => {
  globals.programUrl = url;
  return runCommand(process.argv.slice(2));
};

if (globals.warmUpPath !== undefined) void warmUp(globals.warmUpPath);
