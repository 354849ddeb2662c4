/**
 * Which traffic is captured, in nftables' words: the same decisions in the same order as the rules for iptables. Pure.
 *
 * Source: the rules that `pilot-agent istio-iptables --native-nftables` logs for each flag.
 */
import { capturesDns, isTproxy, loopbackOf, passthroughSource } from '../chains.ts';
import type { Config } from '../config.ts';
import { type Ranges, readOutboundRanges } from '../outbound-ranges.ts';
import { splitList } from '../prefix.ts';
import { captureDns } from './dns-capture.ts';
import { NftRuleSet, nftChains } from './rule-set.ts';
import { appendTproxyMarks, captureInboundTproxy } from './tproxy-capture.ts';

const tcp = 'meta l4proto tcp';

/** Builds the rules. Throws an Error for CIDR lists that cannot be used. */
export function buildNftRules(config: Config): NftRuleSet {
  const { include, exclude } = readOutboundRanges(config);
  const rules = new NftRuleSet(config.enableIpv6);
  const output = (...parts: string[]): void => rules.append('nat', nftChains.output, ...parts);
  const loopback = loopbackOf(config);
  skipInterfaces(rules, config);
  if (config.dropInvalid) {
    rules.append('mangle', nftChains.prerouting, tcp, 'ct state invalid counter jump', nftChains.drop);
    rules.append('mangle', nftChains.drop, 'counter drop');
  }
  rules.append('nat', nftChains.inbound, tcp, 'tcp dport', config.inboundTunnelPort, 'counter return');
  rules.append('nat', nftChains.redirect, tcp, `counter redirect to :${config.proxyPort}`);
  rules.append('nat', nftChains.inRedirect, tcp, `counter redirect to :${config.inboundCapturePort}`);
  captureInbound(rules, config);
  rules.append('nat', nftChains.hookOutput, 'counter jump', nftChains.output);
  for (const port of splitList(config.outboundPortsExclude)) {
    for (const protocol of ['tcp', 'udp']) output(`${protocol} dport`, port, 'counter return');
  }
  output('oifname lo', 'ip saddr', passthroughSource.v4, 'counter return');
  output('oifname lo', 'ip6 saddr', passthroughSource.v6, 'counter return');
  exemptProxy(rules, config, include.v4.hasLoopback || include.v6.hasLoopback);
  filterOwnerGroups(rules, config);
  if (capturesDns(config)) captureDns(rules, config);
  output('ip daddr', loopback.v4, 'counter return');
  output('ip6 daddr', loopback.v6, 'counter return');
  for (const { text } of exclude.v4.cidrs) output('ip daddr', text, 'counter return');
  for (const { text } of exclude.v6.cidrs) output('ip6 daddr', text, 'counter return');
  for (const port of splitList(config.outboundPortsInclude)) output('tcp dport', port, 'counter jump', nftChains.redirect);
  captureOutbound(rules, config, include);
  if (isTproxy(config)) appendTproxyMarks(rules, config);
  return rules;
}

function skipInterfaces(rules: NftRuleSet, config: Config): void {
  for (const table of isTproxy(config) ? (['nat', 'mangle'] as const) : (['nat'] as const)) {
    for (const name of splitList(config.excludeInterfaces)) {
      rules.append(table, nftChains.prerouting, 'iifname', name, 'counter return');
      rules.append(table, nftChains.hookOutput, 'oifname', name, 'counter return');
    }
  }
  for (const name of splitList(config.rerouteVirtualInterfaces)) {
    rules.insert('nat', nftChains.prerouting, 0, 'iifname', name, 'counter return');
  }
}

function captureInbound(rules: NftRuleSet, config: Config): void {
  if (config.inboundPortsInclude === '') return;
  if (isTproxy(config)) {
    captureInboundTproxy(rules, config);
    return;
  }
  rules.append('nat', nftChains.prerouting, tcp, 'counter jump', nftChains.inbound);
  if (config.inboundPortsInclude !== '*') {
    for (const port of splitList(config.inboundPortsInclude)) {
      rules.append('nat', nftChains.inbound, tcp, 'tcp dport', port, 'counter jump', nftChains.inRedirect);
    }
    return;
  }
  for (const port of splitList(config.inboundPortsExclude)) {
    rules.append('nat', nftChains.inbound, tcp, 'tcp dport', port, 'counter return');
  }
  rules.append('nat', nftChains.inbound, tcp, 'counter jump', nftChains.inRedirect);
}

/**
 * The proxy's own traffic leaves untouched; only what it sends to its own pod goes in through the inbound listener. Traffic of the
 * application over `lo` stays direct, unless loopback is captured explicitly.
 */
function exemptProxy(rules: NftRuleSet, config: Config, capturesLoopback: boolean): void {
  const output = (...parts: string[]): void => rules.append('nat', nftChains.output, ...parts);
  const owners = [
    ...splitList(config.proxyUid).map(id => ({ key: 'skuid', id })),
    ...splitList(config.proxyGid).map(id => ({ key: 'skgid', id })),
  ];
  const loopback = loopbackOf(config);
  const dns = capturesDns(config);
  for (const { key, id } of owners) {
    // DNS over TCP is spared for uids only.
    const spared = dns && key === 'skuid' ? `{ 53, ${config.inboundTunnelPort} }` : config.inboundTunnelPort;
    for (const self of [`ip daddr != ${loopback.v4}`, `ip6 daddr != ${loopback.v6}`]) {
      output('oifname lo', tcp, self, `tcp dport != ${spared} ${key} ${id} counter jump`, nftChains.inRedirect);
    }
    if (!capturesLoopback) {
      const protocol = dns ? [tcp, 'tcp dport != 53'] : [];
      output('oifname lo', ...protocol, `${key} != ${id} counter return`);
    }
    output(`${key} ${id} counter return`);
  }
}

function filterOwnerGroups(rules: NftRuleSet, config: Config): void {
  if (config.ownerGroupsInclude === '*') {
    for (const group of splitList(config.ownerGroupsExclude)) {
      rules.append('nat', nftChains.output, 'skgid', group, 'counter return');
    }
    return;
  }
  const none = splitList(config.ownerGroupsInclude).map(group => `skgid != ${group}`);
  rules.append('nat', nftChains.output, ...none, 'counter return');
}

function captureOutbound(rules: NftRuleSet, config: Config, include: Ranges): void {
  const interfaces = splitList(config.rerouteVirtualInterfaces);
  const jump = ['counter jump', nftChains.redirect];
  if (include.v4.isWildcard) {
    rules.append('nat', nftChains.output, ...jump);
    for (const name of interfaces) rules.insert('nat', nftChains.prerouting, 0, 'iifname', name, ...jump);
    return;
  }
  const destinations = [
    ...include.v4.cidrs.map(({ text }) => ['ip daddr', text]),
    ...include.v6.cidrs.map(({ text }) => ['ip6 daddr', text]),
  ];
  for (const destination of destinations) {
    for (const name of interfaces) rules.insert('nat', nftChains.prerouting, 0, 'iifname', name, ...destination, ...jump);
    rules.append('nat', nftChains.output, ...destination, ...jump);
  }
}
