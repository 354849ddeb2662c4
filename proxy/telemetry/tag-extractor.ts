/**
 * Finds the tags of a statistic in its name, as the bootstrap's `stats_tags` and Envoy's defaults say. Runs once per metric,
 * when it is first shown.
 */
import type { StatsConfigModel } from '../config/model/stats.ts';
import { defaultTagRegexes, defaultTagTokens } from './default-tags.ts';
import type { Tag } from './stats-store.ts';

export interface ExtractedTags {
  readonly tagExtractedName: string;
  readonly tags: readonly Tag[];
}

interface Extraction {
  readonly name: string;
  readonly regex: RegExp;
  /** The same with the positions of its groups, which costs more. */
  readonly locating: RegExp;
  /** What every matching name begins with: most extractions of most names end here. */
  readonly prefix: string;
  readonly except: string | undefined;
}

/** Whether a regex has a `|` outside of groups. */
function hasAlternatives(source: string): boolean {
  let plain = source.replace(/\\./g, '').replace(/\[[^\]]*\]/g, '');
  while (/\([^()]*\)/.test(plain)) plain = plain.replace(/\([^()]*\)/g, '');
  return plain.includes('|');
}

function makeExtraction(name: string, regex: RegExp, except?: string): Extraction {
  const prefix = hasAlternatives(regex.source) ? '' : (/^\^([a-z_]+)(?=\(|\\\.)/.exec(regex.source)?.[1] ?? '');
  return { name, regex, locating: new RegExp(regex.source, 'd'), prefix, except };
}

/**
 * An ECMAScript regex of std::regex or an RE2 one as a RegExp: POSIX classes and RE2's spellings that JavaScript lacks.
 * @throws SyntaxError
 */
export function toRegExp(regex: string): RegExp {
  const classes: { [name: string]: string } = {
    digit: '0-9',
    alpha: 'A-Za-z',
    alnum: 'A-Za-z0-9',
    upper: 'A-Z',
    lower: 'a-z',
    xdigit: 'A-Fa-f0-9',
    space: '\\s',
    word: '\\w',
    punct: '!-\\/:-@\\[-`{-~',
  };
  return new RegExp(
    regex
      .replace(/\[:(\w+):\]/g, (match, name: string) => classes[name] ?? match)
      .replaceAll('(?P<', '(?<')
      .replaceAll('\\A', '^')
      .replaceAll('\\z', '$'),
  );
}

function tokensToRegExp(tokens: string): RegExp {
  const parts = tokens.split('.').map(token => {
    if (token === '$') return '(([^.]+)\\.)';
    if (token === '**') return '.*';
    return token === '*' ? '[^.]+\\.' : `${token}\\.`;
  });
  return new RegExp(`^${parts.join('').replace(/\\\.$/, '')}$`);
}

const defaults: readonly Extraction[] = [
  ...defaultTagRegexes.map(([name, regex, except]) => makeExtraction(name, new RegExp(regex), except)),
  ...defaultTagTokens.map(([name, tokens]) => makeExtraction(name, tokensToRegExp(tokens))),
];

export class TagExtractor {
  readonly #extractions: readonly Extraction[];
  readonly #fixed: readonly Tag[];

  /** @throws SyntaxError for a bad regex; Error for a tag without regex that is no default one. */
  constructor(config: Pick<StatsConfigModel, 'useAllDefaultTags' | 'tags'>) {
    const extractions: Extraction[] = config.useAllDefaultTags ? [...defaults] : [];
    const fixed: Tag[] = [];
    for (const tag of config.tags) {
      if (tag.fixedValue !== null) fixed.push([tag.name, tag.fixedValue]);
      else if (tag.regex !== null) extractions.push(makeExtraction(tag.name, toRegExp(tag.regex)));
      else extractions.push(...findDefaults(tag.name, config.useAllDefaultTags));
    }
    this.#extractions = extractions;
    this.#fixed = fixed;
  }

  /** The name without what became tags, and the tags in order of extraction. */
  extract(name: string): ExtractedTags {
    const tags: Tag[] = [...this.#fixed];
    const removed: [start: number, end: number][] = [];
    for (const { name: tag, regex, locating, prefix, except } of this.#extractions) {
      if (!name.startsWith(prefix)) continue;
      const match = regex.exec(name);
      if (match === null || match[1] === undefined || match[1] === '') continue;
      const value = match[2] ?? match[1];
      if (value === except) continue;
      tags.push([tag, value]);
      const start = locating.exec(name)?.indices?.[1]?.[0] ?? match.index;
      removed.push([start, start + match[1].length]);
    }
    return { tagExtractedName: removed.length === 0 ? name : cut(name, removed), tags };
  }
}

function findDefaults(name: string, alreadyUsed: boolean): readonly Extraction[] {
  const found = defaults.filter(extraction => extraction.name === name);
  if (found.length === 0) throw new Error(`No regex specified for tag specifier and no default regex for name: '${name}'`);
  return alreadyUsed ? [] : found;
}

function cut(name: string, removed: [start: number, end: number][]): string {
  const kept: string[] = [];
  let position = 0;
  for (const [start, end] of removed.sort((a, b) => a[0] - b[0])) {
    if (start > position) kept.push(name.slice(position, start));
    position = Math.max(position, end);
  }
  kept.push(name.slice(position));
  return kept.join('');
}
