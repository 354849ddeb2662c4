/**
 * Rules as data, for both IP versions, and the texts and commands made of them. Pure.
 *
 * Source: the input of iptables-restore that `pilot-agent istio-iptables --dry-run` prints.
 */

export type Table = 'filter' | 'mangle' | 'nat' | 'raw';
export type IpVersion = 'v4' | 'v6';

/** One rule. `position` is null for a rule at the end of its chain, else the place where it is inserted, from 1. */
export type Rule = {
  readonly table: Table;
  readonly chain: string;
  readonly position: number | null;
  readonly matches: readonly string[];
};

/** A value that differs between the IP versions. */
export type Versioned = { readonly v4: string; readonly v6: string };

const builtInTargets = new Set(['INPUT', 'OUTPUT', 'FORWARD', 'PREROUTING', 'POSTROUTING', 'ACCEPT', 'RETURN', 'DROP']);
export const istioChainPrefix = 'ISTIO_';

/** Collects rules in build order. Without IPv6 the v6 list stays empty. */
export class RuleSet {
  readonly v4: Rule[] = [];
  readonly v6: Rule[] = [];
  readonly #enableIpv6: boolean;

  constructor(enableIpv6: boolean) {
    this.#enableIpv6 = enableIpv6;
  }

  /** Appends to both versions; a Versioned part becomes the text of its version. */
  append(table: Table, chain: string, ...matches: (string | Versioned)[]): void {
    this.appendTo('v4', table, chain, ...matches);
    this.appendTo('v6', table, chain, ...matches);
  }

  appendTo(version: IpVersion, table: Table, chain: string, ...matches: (string | Versioned)[]): void {
    this.#add(version, { table, chain, position: null, matches: resolveVersion(matches, version) });
  }

  insert(table: Table, chain: string, position: number, ...matches: (string | Versioned)[]): void {
    this.insertTo('v4', table, chain, position, ...matches);
    this.insertTo('v6', table, chain, position, ...matches);
  }

  insertTo(version: IpVersion, table: Table, chain: string, position: number, ...matches: (string | Versioned)[]): void {
    this.#add(version, { table, chain, position, matches: resolveVersion(matches, version) });
  }

  #add(version: IpVersion, rule: Rule): void {
    if (version === 'v4') this.v4.push(rule);
    else if (this.#enableIpv6) this.v6.push(rule);
  }
}

function resolveVersion(matches: readonly (string | Versioned)[], version: IpVersion): string[] {
  return matches.map(match => (typeof match === 'string' ? match : match[version]));
}

function textOf(rule: Rule): string {
  const head = rule.position === null ? `-A ${rule.chain}` : `-I ${rule.chain} ${rule.position}`;
  return [head, ...rule.matches].join(' ');
}

/** The chain that a rule jumps to, where the jump is its last part; targets with options are never chains. */
function jumpTargetOf(rule: Rule): string | null {
  return rule.matches.at(-2) === '-j' ? (rule.matches.at(-1) as string) : null;
}

/** Chains to create, in the order of the restore text: those with rules by first use, then those that are only jumped to. */
function chainsOf(rules: readonly Rule[]): { table: Table; chain: string }[] {
  const chains = new Map<string, { table: Table; chain: string }>();
  const note = (table: Table, chain: string | null): void => {
    if (chain !== null && !builtInTargets.has(chain)) chains.set(`${table} ${chain}`, { table, chain });
  };
  for (const rule of rules) note(rule.table, rule.chain);
  for (const rule of rules) {
    const target = jumpTargetOf(rule);
    if (target !== null && !chains.has(`${rule.table} ${target}`)) note(rule.table, target);
  }
  return [...chains.values()];
}

/** The input of `iptables-restore --noflush`; empty without rules. */
export function renderRestore(rules: readonly Rule[]): string {
  const tables = new Map<Table, string[]>();
  const linesOf = (table: Table): string[] => {
    const lines = tables.get(table) ?? [];
    tables.set(table, lines);
    return lines;
  };
  for (const { table, chain } of chainsOf(rules)) linesOf(table).push(`-N ${chain}`);
  for (const rule of rules) linesOf(rule.table).push(textOf(rule));
  return [...tables.keys()]
    .sort()
    .map(table => [`* ${table}`, ...linesOf(table), 'COMMIT'].join('\n'))
    .map(text => `${text}\n`)
    .join('');
}

/**
 * The input of `iptables-restore` that brings back what `iptables-save` printed, in the tables of these rules and in no other: a table
 * that was not there becomes empty.
 */
export function renderUndo(rules: readonly Rule[], saved: string): string {
  const tables = [...new Set(rules.map(rule => rule.table))];
  return tables
    .map(table => new RegExp(`^\\*${table}\\n[\\s\\S]*?^COMMIT$`, 'm').exec(saved)?.[0] ?? `*${table}\nCOMMIT`)
    .map(text => `${text}\n`)
    .join('');
}

/** Arguments of one iptables call per rule that ask whether the rule is there. */
export function renderChecks(rules: readonly Rule[]): string[][] {
  return rules.map(rule => ['-t', rule.table, '-C', rule.chain, ...rule.matches]);
}

/** Arguments of one iptables call per rule. */
export function renderCommands(rules: readonly Rule[]): string[][] {
  return rules.map(rule => {
    const head = rule.position === null ? ['-A', rule.chain] : ['-I', rule.chain, String(rule.position)];
    return ['-t', rule.table, ...head, ...rule.matches];
  });
}

/** A rule inside an own chain goes with the chain when that is flushed, unless it holds another own chain in use by a jump. */
function mustBeDeleted(rule: Rule): boolean {
  if (!rule.chain.startsWith(istioChainPrefix)) return true;
  const jump = rule.matches.indexOf('-j');
  return jump >= 0 && (rule.matches[jump + 1] ?? '').startsWith(istioChainPrefix);
}

/** Arguments of the calls that delete the given rules one by one. */
export function renderDeletions(rules: readonly Rule[]): string[][] {
  return rules.filter(mustBeDeleted).map(rule => ['-t', rule.table, '-D', rule.chain, ...rule.matches]);
}

/** Arguments of the calls that remove the rules, newest first, and then flush and remove the chains that own rules. */
export function renderCleanup(rules: readonly Rule[]): string[][] {
  const reversed = rules.toReversed();
  const commands = renderDeletions(reversed);
  const removed = new Set<string>();
  for (const { table, chain } of reversed) {
    const key = `${table} ${chain}`;
    if (builtInTargets.has(chain) || removed.has(key)) continue;
    removed.add(key);
    commands.push(['-t', table, '-F', chain], ['-t', table, '-X', chain]);
  }
  return commands;
}

/** Rules that hold all traffic back while an older rule set is replaced. */
export const guardrails: readonly Rule[] = ['INPUT', 'FORWARD', 'OUTPUT'].flatMap(chain =>
  ['tcp', 'udp'].map(protocol => ({ table: 'filter' as const, chain, position: 1, matches: ['-p', protocol, '-j', 'DROP'] })),
);
