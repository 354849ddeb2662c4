/**
 * What is there already: reading `iptables-save`, and comparing it with what should be there. The comparison is by chains, rule
 * counts and `iptables -C`, never by rule text, which the kernel does not give back as it was given. Pure but for the check
 * that the caller passes in.
 */
import { istioChainPrefix } from './rule-set.ts';

/** Table to chain to rules. Chains without `ISTIO_` are present only if they hold rules. */
export type State = ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>;

const tables = ['filter', 'nat', 'mangle', 'raw'];
const ruleFlags = new Set(['-A', '--append', '-I', '--insert']);
const newChainFlags = new Set(['-N', '--new']);

/** Parses the output of iptables-save, or a restore text. */
export function parseState(text: string): State {
  const state = new Map(tables.map(table => [table, new Map<string, string[]>()]));
  let current: Map<string, string[]> | undefined;
  for (const line of text.split('\n')) {
    if (line.trim() === '' || line.startsWith('#') || line === 'COMMIT') continue;
    if (line.startsWith('*')) {
      current = state.get(line.slice(1).trim());
      continue;
    }
    if (current === undefined) continue;
    if (line.startsWith(':')) {
      const chain = line.slice(1).split(' ')[0];
      if (chain.startsWith('ISTIO')) chainOf(current, chain);
      continue;
    }
    readRule(current, line);
  }
  return state;
}

function chainOf(chains: Map<string, string[]>, name: string): string[] {
  const rules = chains.get(name) ?? [];
  chains.set(name, rules);
  return rules;
}

function readRule(chains: Map<string, string[]>, line: string): void {
  const words = line.split(' ');
  for (const [index, word] of words.entries()) {
    const name = (words[index + 1] ?? '').replace(/^['"]+|['"]+$/g, '');
    if (name === '') continue;
    if (ruleFlags.has(word)) chainOf(chains, name).push(line);
    else if (newChainFlags.has(word) && name.startsWith('ISTIO')) chainOf(chains, name);
  }
}

/** True without any chain or rule. */
export function isEmpty(state: State): boolean {
  return [...state.values()].every(chains => chains.size === 0);
}

/** True where a chain is missing, superfluous, or of another length than expected. */
export function differsInShape(current: State, expected: State): boolean {
  for (const [table, chains] of expected) {
    for (const [chain, rules] of chains) {
      const found = current.get(table)?.get(chain);
      if (found === undefined) return true;
      if (chain.startsWith(istioChainPrefix) && found.length !== rules.length) return true;
    }
  }
  for (const [table, chains] of current) {
    for (const chain of chains.keys()) {
      if (chain.startsWith(istioChainPrefix) && !expected.get(table)?.has(chain)) return true;
    }
  }
  return false;
}

/** One IP version's verdict. */
export type Verdict = { readonly residue: boolean; readonly delta: boolean; readonly planned: boolean };

/**
 * Judges one IP version. `saved` is the text of iptables-save, or null if that failed (taken for a clean state); `hasEveryRule`
 * asks the kernel for each expected rule.
 */
export function judgeState(saved: string | null, restoreText: string, hasEveryRule: () => boolean): Verdict {
  const expected = parseState(restoreText);
  const planned = !isEmpty(expected);
  if (saved === null) return { residue: false, delta: planned, planned };
  const current = parseState(saved);
  const residue = !isEmpty(current);
  if (!residue) return { residue, delta: planned, planned };
  return { residue, delta: differsInShape(current, expected) || !hasEveryRule(), planned };
}
