/** What a network namespace holds that the init step could change, as text to compare. */

/** Runs a command in the namespace and returns what it printed. */
type Execute = (...command: string[]) => string;

const script = [
  ...['iptables-nft-save', 'ip6tables-nft-save', 'iptables-legacy-save', 'ip6tables-legacy-save'],
  // Tables that iptables made are in its own words above.
  'for t in $(nft list tables | sed "s/table //; s/ /:/" | grep -vE "^ip6?:(nat|mangle|raw|filter)$"); do nft list table $(echo $t | tr : " "); done',
  ...['ip rule', 'ip -6 rule', 'ip route show table 133', 'ip -6 route show table 133', 'ip addr show dev lo'],
].join('; ');

/** Counters, times and tables without rules are left out. */
export function readNamespaceState(execute: Execute): string {
  return execute('sh', '-c', `{ ${script}; } 2>/dev/null`)
    .replace(/^#.*\n/gm, '')
    .replace(/\[\d+:\d+\]|packets \d+ bytes \d+/g, '')
    .replace(/^\*\w+\n(?::[A-Z]+ ACCEPT *\n)*COMMIT\n/gm, '')
    .replace(/\n *valid_lft.*/g, '');
}
