/**
 * The init step's log, in Istio's format on standard output: `<time>Z<TAB><level><TAB><message>`, or one JSON object per line.
 *
 * Source: istio.io/istio pkg/log, as read from the lines that pilot-agent prints.
 */
import { writeSync } from 'node:fs';

const levels = ['debug', 'info', 'warn', 'error', 'fatal', 'none'] as const;
export type LogLevel = (typeof levels)[number];

const settings: { threshold: number; json: boolean; write: (line: string) => void } = {
  threshold: levels.indexOf('info'),
  json: false,
  write: line => {
    try {
      writeSync(1, `${line}\n`);
    } catch {
      // Nobody reads standard output: the rules matter, not the line.
    }
  },
};

/**
 * Sets level and form. `outputLevels` is the value of `--log_output_level`: `[scope:]level` separated by commas; the scopes
 * `default` and `all` count here. Throws an Error on an unknown level.
 */
export function configureLog(outputLevels: string, json: boolean, write = settings.write): void {
  settings.json = json;
  settings.write = write;
  for (const part of outputLevels.split(',').filter(text => text !== '')) {
    const [scope, level] = part.includes(':') ? part.split(':') : ['default', part];
    const rank = levels.indexOf(level as LogLevel);
    if (rank < 0) throw new Error(`invalid output level '${part}'`);
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
