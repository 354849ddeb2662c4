/**
 * Which traffic is captured: configuration to rules, in the order in which they take effect. Pure.
 *
 * Source: the rules that `pilot-agent istio-iptables --dry-run` prints for each flag.
 */
import { capturesDns, chains, isTproxy, loopbackOf, passthroughSource } from './chains.ts';
import type { Config } from './config.ts';
import { captureDns } from './dns-capture.ts';
import { readOutboundRanges } from './outbound-ranges.ts';
import { type NetworkRange, splitList } from './prefix.ts';
import { type IpVersion, RuleSet } from './rule-set.ts';
import { appendTproxyMarks, appendTproxyTargets } from './tproxy-capture.ts';

/** Builds the rules. Throws an Error for CIDR lists that cannot be used. */
export function buildRules(config: Config): RuleSet {
  const { include, exclude } = readOutboundRanges(config);
  const rules = new RuleSet(config.enableIpv6);
  skipInterfaces(rules, config);
  if (config.dropInvalid) {
    rules.append('mangle', 'PREROUTING', '-m', 'conntrack', '--ctstate', 'INVALID', '-j', chains.drop);
    rules.append('mangle', chains.drop, '-j', 'DROP');
  }
  rules.append('nat', chains.inbound, '-p', 'tcp', '--dport', config.inboundTunnelPort, '-j', 'RETURN');
  rules.append('nat', chains.redirect, '-p', 'tcp', '-j', 'REDIRECT', '--to-ports', config.proxyPort);
  rules.append('nat', chains.inRedirect, '-p', 'tcp', '-j', 'REDIRECT', '--to-ports', config.inboundCapturePort);
  captureInbound(rules, config);
  rules.append('nat', 'OUTPUT', '-j', chains.output);
  for (const port of splitList(config.outboundPortsExclude)) {
    rules.append('nat', chains.output, '-p', 'tcp', '--dport', port, '-j', 'RETURN');
    rules.append('nat', chains.output, '-p', 'udp', '--dport', port, '-j', 'RETURN');
  }
  rules.append('nat', chains.output, '-o', 'lo', '-s', passthroughSource, '-j', 'RETURN');
  exemptProxy(rules, config, include.v4.hasLoopback || include.v6.hasLoopback);
  filterOwnerGroups(rules, config);
  if (capturesDns(config)) captureDns(rules, config);
  rules.append('nat', chains.output, '-d', loopbackOf(config), '-j', 'RETURN');
  for (const { text } of exclude.v4.cidrs) rules.appendTo('v4', 'nat', chains.output, '-d', text, '-j', 'RETURN');
  for (const { text } of exclude.v6.cidrs) rules.appendTo('v6', 'nat', chains.output, '-d', text, '-j', 'RETURN');
  for (const port of splitList(config.outboundPortsInclude)) {
    rules.append('nat', chains.output, '-p', 'tcp', '--dport', port, '-j', chains.redirect);
  }
  captureOutbound(rules, config, 'v4', include.v4);
  captureOutbound(rules, config, 'v6', include.v6);
  if (isTproxy(config)) appendTproxyMarks(rules, config);
  return rules;
}

function skipInterfaces(rules: RuleSet, config: Config): void {
  const excluded = splitList(config.excludeInterfaces);
  for (const table of isTproxy(config) ? (['nat', 'mangle'] as const) : (['nat'] as const)) {
    for (const name of excluded) {
      rules.append(table, 'PREROUTING', '-i', name, '-j', 'RETURN');
      rules.append(table, 'OUTPUT', '-o', name, '-j', 'RETURN');
    }
  }
  for (const name of splitList(config.rerouteVirtualInterfaces)) {
    rules.insert('nat', 'PREROUTING', 1, '-i', name, '-j', 'RETURN');
  }
}

function captureInbound(rules: RuleSet, config: Config): void {
  if (config.inboundPortsInclude === '') return;
  const table = isTproxy(config) ? 'mangle' : 'nat';
  if (isTproxy(config)) appendTproxyTargets(rules, config);
  rules.append(table, 'PREROUTING', '-p', 'tcp', '-j', chains.inbound);
  const all = config.inboundPortsInclude === '*';
  if (all) {
    for (const port of splitList(config.inboundPortsExclude)) {
      rules.append(table, chains.inbound, '-p', 'tcp', '--dport', port, '-j', 'RETURN');
    }
  }
  for (const match of all ? [[]] : splitList(config.inboundPortsInclude).map(port => ['--dport', port])) {
    if (!isTproxy(config)) {
      rules.append('nat', chains.inbound, '-p', 'tcp', ...match, '-j', chains.inRedirect);
      continue;
    }
    const established = ['-m', 'conntrack', '--ctstate', 'RELATED,ESTABLISHED'];
    rules.append('mangle', chains.inbound, '-p', 'tcp', ...match, ...established, '-j', chains.divert);
    rules.append('mangle', chains.inbound, '-p', 'tcp', ...match, '-j', chains.tproxy);
  }
}

/**
 * The proxy's own traffic leaves untouched; only what it sends to its own pod goes in through the inbound listener. Traffic of the
 * application over `lo` stays direct, unless loopback is captured explicitly.
 */
function exemptProxy(rules: RuleSet, config: Config, capturesLoopback: boolean): void {
  const owners = [
    ...splitList(config.proxyUid).map(id => ({ flag: '--uid-owner', id })),
    ...splitList(config.proxyGid).map(id => ({ flag: '--gid-owner', id })),
  ];
  const dns = capturesDns(config);
  for (const { flag, id } of owners) {
    // The multiport form, which spares DNS over TCP, exists for uids only.
    const others =
      dns && flag === '--uid-owner'
        ? ['-m', 'multiport', '!', '--dports', `53,${config.inboundTunnelPort}`]
        : ['!', '--dport', config.inboundTunnelPort];
    const toSelf = ['-o', 'lo', '!', '-d', loopbackOf(config), '-p', 'tcp', ...others];
    rules.append('nat', chains.output, ...toSelf, '-m', 'owner', flag, id, '-j', chains.inRedirect);
    if (!capturesLoopback) {
      const protocol = dns ? ['-p', 'tcp', '!', '--dport', '53'] : [];
      rules.append('nat', chains.output, '-o', 'lo', ...protocol, '-m', 'owner', '!', flag, id, '-j', 'RETURN');
    }
    rules.append('nat', chains.output, '-m', 'owner', flag, id, '-j', 'RETURN');
  }
}

function filterOwnerGroups(rules: RuleSet, config: Config): void {
  if (config.ownerGroupsInclude === '*') {
    for (const group of splitList(config.ownerGroupsExclude)) {
      rules.append('nat', chains.output, '-m', 'owner', '--gid-owner', group, '-j', 'RETURN');
    }
    return;
  }
  const none = splitList(config.ownerGroupsInclude).flatMap(group => ['-m', 'owner', '!', '--gid-owner', group]);
  rules.append('nat', chains.output, ...none, '-j', 'RETURN');
}

function captureOutbound(rules: RuleSet, config: Config, version: IpVersion, range: NetworkRange): void {
  const interfaces = splitList(config.rerouteVirtualInterfaces);
  if (range.isWildcard) {
    rules.appendTo(version, 'nat', chains.output, '-j', chains.redirect);
    for (const name of interfaces) rules.insertTo(version, 'nat', 'PREROUTING', 1, '-i', name, '-j', chains.redirect);
    return;
  }
  for (const { text } of range.cidrs) {
    for (const name of interfaces) {
      rules.insertTo(version, 'nat', 'PREROUTING', 1, '-i', name, '-d', text, '-j', chains.redirect);
    }
    rules.appendTo(version, 'nat', chains.output, '-d', text, '-j', chains.redirect);
  }
}
