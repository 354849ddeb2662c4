/**
 * The init step's log, in Istio's format: `<time>Z<TAB><level><TAB><message>`, or one JSON object per line.
 *
 * Source: istio.io/istio pkg/log, as read from the lines that pilot-agent prints.
 */
import { openSync, writeSync } from 'node:fs';

const levels = ['debug', 'info', 'warn', 'error', 'fatal', 'none'] as const;
export type LogLevel = (typeof levels)[number];

/** What the flags of the log say. No target is standard output. */
export type LogOptions = { outputLevel: string; json: boolean; readonly targets: string[] };

type Write = (line: string) => void;

const settings = { threshold: levels.indexOf('info'), json: false, write: writeTo([1]) };

/** Writes to all descriptors. */
function writeTo(descriptors: readonly number[]): Write {
  return line => {
    for (const descriptor of descriptors) {
      try {
        writeSync(descriptor, `${line}\n`);
      } catch {
        // Nobody reads it: the rules matter, not the line.
      }
    }
  };
}

function openTarget(target: string): number {
  if (target === 'stdout') return 1;
  if (target === 'stderr') return 2;
  try {
    return openSync(target, 'a', 0o644);
  } catch (error) {
    throw new Error(`open sink ${JSON.stringify(target)}: ${(error as Error).message}`);
  }
}

/**
 * Sets level, form and targets. `outputLevel` is `[scope:]level` separated by commas; the scopes `default` and `all` count here.
 * Throws an Error on an unknown level and on a file that cannot be opened.
 */
export function configureLog({ outputLevel, json, targets }: LogOptions, write?: Write): void {
  settings.json = json;
  if (write !== undefined) settings.write = write;
  else if (targets.length > 0) settings.write = writeTo(targets.map(openTarget));
  for (const part of outputLevel.split(',').filter(text => text !== '')) {
    const words = part.split(':');
    if (words.length > 2) throw new Error(`invalid output level format '${part}'`);
    const [scope, level] = words.length === 2 ? words : ['default', part];
    const rank = levels.indexOf(level as LogLevel);
    if (rank < 0) throw new Error(`invalid output level '${level}'`);
    if (scope === 'default' || scope === 'all') settings.threshold = rank;
  }
}

function writeLine(level: LogLevel, message: string): void {
  if (levels.indexOf(level) < settings.threshold) return;
  const time = new Date().toISOString().replace('Z', '000Z');
  settings.write(settings.json ? JSON.stringify({ level, time, msg: message }) : `${time}\t${level}\t${message}`);
}

export const log = {
  debug: (message: string): void => writeLine('debug', message),
  info: (message: string): void => writeLine('info', message),
  warn: (message: string): void => writeLine('warn', message),
  error: (message: string): void => writeLine('error', message),
};
