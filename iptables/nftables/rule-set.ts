/**
 * Rules of native nftables as data, and the transaction made of them. One set of `inet` tables serves both IP versions, so a rule that
 * names an address exists once per version. Pure.
 *
 * Source: the transaction that `pilot-agent istio-iptables --native-nftables` logs.
 */

export type NftTable = 'nat' | 'mangle' | 'raw';

/** One rule. `index` is null for a rule at the end of its chain, else the rule that it is put before, from 0. */
export type NftRule = { readonly table: NftTable; readonly chain: string; readonly index: number | null; readonly text: string };

export const nftChains = {
  prerouting: 'prerouting',
  hookOutput: 'output',
  output: 'istio-output',
  outputDns: 'istio-output-dns',
  inbound: 'istio-inbound',
  divert: 'istio-divert',
  tproxy: 'istio-tproxy',
  redirect: 'istio-redirect',
  inRedirect: 'istio-in-redirect',
  drop: 'istio-drop',
} as const;

/** Tables in the order of the transaction, each with its base chains' type per hook, their priority, and its own chains. */
const layout: readonly {
  readonly table: NftTable;
  readonly types: { readonly prerouting: string; readonly output: string };
  readonly priority: number;
  readonly chains: readonly string[];
}[] = [
  {
    table: 'nat',
    types: { prerouting: 'nat', output: 'nat' },
    priority: -100,
    chains: [nftChains.inbound, nftChains.redirect, nftChains.inRedirect, nftChains.output, nftChains.outputDns],
  },
  {
    table: 'mangle',
    // A mark set on the way out must be able to change the route.
    types: { prerouting: 'filter', output: 'route' },
    priority: -150,
    chains: [nftChains.divert, nftChains.tproxy, nftChains.inbound, nftChains.drop],
  },
  {
    table: 'raw',
    types: { prerouting: 'filter', output: 'filter' },
    priority: -300,
    chains: [nftChains.inbound, nftChains.outputDns],
  },
];

/** Collects rules in build order. Without IPv6 the rules that name an IPv6 address are left out. */
export class NftRuleSet {
  readonly rules: NftRule[] = [];
  readonly #enableIpv6: boolean;

  constructor(enableIpv6: boolean) {
    this.#enableIpv6 = enableIpv6;
  }

  append(table: NftTable, chain: string, ...parts: readonly string[]): void {
    this.#add(table, chain, null, parts);
  }

  insert(table: NftTable, chain: string, index: number, ...parts: readonly string[]): void {
    this.#add(table, chain, index, parts);
  }

  #add(table: NftTable, chain: string, index: number | null, parts: readonly string[]): void {
    const namesV6 = parts.some(part => part.startsWith('ip6 '));
    if (namesV6 && !this.#enableIpv6) return;
    this.rules.push({ table, chain, index, text: parts.join(' ') });
  }
}

/** The name of a table of ours. */
export function tableName(table: NftTable): string {
  return `istio-proxy-${table}`;
}

/**
 * The input of `nft -f -`: tables are emptied and filled anew, all or nothing, so that a second run changes nothing. Tables without a
 * rule are not mentioned.
 */
export function renderTransaction(rules: readonly NftRule[]): string {
  return layout
    .map(({ table, types, priority, chains }) => {
      const own = rules.filter(rule => rule.table === table);
      if (own.length === 0) return '';
      const target = `inet ${tableName(table)}`;
      const used = new Set(own.map(rule => rule.chain));
      const base = (['prerouting', 'output'] as const)
        .filter(hook => used.has(hook))
        .map(hook => `add chain ${target} ${hook} { type ${types[hook]} hook ${hook} priority ${priority} ; }`);
      const regular = chains.filter(chain => used.has(chain)).map(chain => `add chain ${target} ${chain}`);
      return joinLines([`add table ${target}`, `flush table ${target}`, ...base, ...regular, ...renderRules(own, target)]);
    })
    .join('');
}

/** nft knows no insertion behind the last rule of a chain: that is an addition. */
function renderRules(rules: readonly NftRule[], target: string): string[] {
  const lengths = new Map<string, number>();
  return rules.map(({ chain, index, text }) => {
    const length = lengths.get(chain) ?? 0;
    lengths.set(chain, length + 1);
    return index === null || index >= length
      ? `add rule ${target} ${chain} ${text}`
      : `insert rule ${target} ${chain} index ${index} ${text}`;
  });
}

/** Removes every table of ours; one that is missing is added first, because removing it would be an error. */
export function renderRemoval(): string {
  const targets = layout.map(({ table }) => `inet ${tableName(table)}`);
  return joinLines(targets.flatMap(target => [`add table ${target}`, `delete table ${target}`]));
}

function joinLines(lines: readonly string[]): string {
  return lines.map(line => `${line}\n`).join('');
}
