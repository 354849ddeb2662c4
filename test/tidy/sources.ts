/** The project's own source files, for the rules of the house. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const root = join(import.meta.dirname, '..', '..');

export interface Source {
  /** Relative to the repository. */
  readonly path: string;
  readonly text: string;
  readonly lines: readonly string[];
}

/** Every tracked (or new, not ignored) file with one of the endings. */
export function listSources(...endings: string[]): Source[] {
  return execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: root, encoding: 'utf8' })
    .split('\n')
    .filter(path => endings.some(ending => path.endsWith(ending)) && existsSync(join(root, path)))
    .map(path => {
      const text = readFileSync(join(root, path), 'utf8');
      return { path, text, lines: text.split('\n') };
    });
}

/** Module specifiers that a file imports, static and dynamic; types included. */
export function importsOf(source: Source): { specifier: string; isType: boolean }[] {
  const found: { specifier: string; isType: boolean }[] = [];
  for (const match of source.text.matchAll(/^\s*(?:import|export)\s+(type\s)?[^'";]*?from\s+'([^']+)'|^import\s+'([^']+)'/gm)) {
    found.push({ specifier: match[2] ?? match[3], isType: match[1] !== undefined });
  }
  for (const match of source.text.matchAll(/\bimport\('([^']+)'\)/g)) found.push({ specifier: match[1], isType: false });
  return found;
}
