/**
 * Rules that lead DNS queries to the agent, in nftables' words; see ../dns-capture.ts for what they are for.
 *
 * Differs from Istio: no jump to a chain that stays empty. With name servers of IPv6 only, in a pod without IPv6, the original jumps to a
 * chain that it does not create, and nft refuses the whole transaction.
 */
import { agentDnsPort } from '../chains.ts';
import type { Config } from '../config.ts';
import { splitList } from '../prefix.ts';
import { type NftRuleSet, nftChains } from './rule-set.ts';

/** A name server: the address family's keyword and its prefix. */
type Server = { readonly family: 'ip' | 'ip6'; readonly prefix: string };

function serversOf(config: Config): Server[] {
  const v6 = config.enableIpv6 ? config.dnsServersV6 : [];
  return [
    ...config.dnsServersV4.map(address => ({ family: 'ip' as const, prefix: `${address}/32` })),
    ...v6.map(address => ({ family: 'ip6' as const, prefix: `${address}/128` })),
  ];
}

export function captureDns(rules: NftRuleSet, config: Config): void {
  const servers = serversOf(config);
  const toAgent = `counter redirect to :${agentDnsPort}`;
  const isCaptured = config.captureAllDns || servers.length > 0;
  rules.append('raw', nftChains.hookOutput, 'counter jump', nftChains.outputDns);
  if (isCaptured) rules.append('nat', nftChains.output, 'counter jump', nftChains.outputDns);
  for (const protocol of ['tcp', 'udp']) {
    const query = `${protocol} dport 53`;
    if (config.captureAllDns) {
      const head = protocol === 'tcp' ? ['meta l4proto tcp'] : [];
      rules.append('nat', nftChains.outputDns, ...head, query, toAgent);
    } else {
      for (const { family, prefix } of servers)
        rules.append('nat', nftChains.outputDns, `${family} daddr`, prefix, query, toAgent);
    }
  }
  assignAgentZones(rules, config);
  if (isCaptured) assignServerZones(rules, config.captureAllDns ? [null] : servers);
}

/** Zone 1: agent and server. Zone 2: application and agent. */
function assignAgentZones(rules: NftRuleSet, config: Config): void {
  const owners = [
    ...splitList(config.proxyUid).map(id => `meta skuid ${id}`),
    ...splitList(config.proxyGid).map(id => `meta skgid ${id}`),
  ];
  for (const owner of owners) {
    rules.append('raw', nftChains.outputDns, 'udp dport 53', owner, 'counter ct zone set 1');
    rules.append('raw', nftChains.outputDns, `udp sport ${agentDnsPort}`, owner, 'counter ct zone set 2');
  }
}

/** `null` stands for any server. */
function assignServerZones(rules: NftRuleSet, servers: readonly (Server | null)[]): void {
  rules.append('raw', nftChains.prerouting, 'counter jump', nftChains.inbound);
  for (const server of servers) {
    const to = server === null ? [] : [`${server.family} daddr`, server.prefix];
    const from = server === null ? [] : [`${server.family} saddr`, server.prefix];
    rules.append('raw', nftChains.outputDns, 'udp dport 53', ...to, 'counter ct zone set 2');
    rules.append('raw', nftChains.inbound, 'udp sport 53', ...from, 'counter ct zone set 1');
  }
}
