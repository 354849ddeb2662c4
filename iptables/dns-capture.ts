/**
 * Rules that lead DNS queries to the agent: all of port 53, or only what goes to the servers of resolv.conf (so that a local
 * forwarder's own queries do not come back). UDP is split into two connection tracking zones, since client and agent may use
 * the same ports on both legs.
 */
import { agentDnsPort, chains } from './chains.ts';
import type { Config } from './config.ts';
import { splitList } from './prefix.ts';
import type { IpVersion, RuleSet } from './rule-set.ts';

type Server = { readonly version: IpVersion; readonly prefix: string };

function serversOf(config: Config): Server[] {
  return [
    ...config.dnsServersV4.map(address => ({ version: 'v4' as const, prefix: `${address}/32` })),
    ...config.dnsServersV6.map(address => ({ version: 'v6' as const, prefix: `${address}/128` })),
  ];
}

export function captureDns(rules: RuleSet, config: Config): void {
  const servers = serversOf(config);
  const hasServer = (version: IpVersion): boolean => config.captureAllDns || servers.some(server => server.version === version);
  rules.append('raw', 'OUTPUT', '-j', chains.outputDns);
  for (const version of ['v4', 'v6'] as const) {
    if (hasServer(version)) rules.appendTo(version, 'nat', chains.output, '-j', chains.outputDns);
  }
  redirectQueries(rules, config, servers, 'tcp', '--to-ports');
  redirectQueries(rules, config, servers, 'udp', '--to-port');
  assignAgentZones(rules, config);
  assignServerZones(rules, config, servers, hasServer);
}

function redirectQueries(rules: RuleSet, config: Config, servers: Server[], protocol: 'tcp' | 'udp', portFlag: string): void {
  const query = ['-p', protocol, '--dport', '53'];
  const target = ['-j', 'REDIRECT', portFlag, agentDnsPort];
  if (config.captureAllDns) rules.append('nat', chains.outputDns, ...query, ...target);
  else {
    for (const { version, prefix } of servers)
      rules.appendTo(version, 'nat', chains.outputDns, ...query, '-d', prefix, ...target);
  }
}

/** Zone 1: agent and server. Zone 2: application and agent. */
function assignAgentZones(rules: RuleSet, config: Config): void {
  const owners = [
    ...splitList(config.proxyUid).map(id => ['-m', 'owner', '--uid-owner', id]),
    ...splitList(config.proxyGid).map(id => ['-m', 'owner', '--gid-owner', id]),
  ];
  for (const owner of owners) {
    rules.append('raw', chains.outputDns, '-p', 'udp', '--dport', '53', ...owner, '-j', 'CT', '--zone', '1');
    rules.append('raw', chains.outputDns, '-p', 'udp', '--sport', agentDnsPort, ...owner, '-j', 'CT', '--zone', '2');
  }
}

function assignServerZones(rules: RuleSet, config: Config, servers: Server[], hasServer: (version: IpVersion) => boolean): void {
  for (const version of ['v4', 'v6'] as const) {
    if (!hasServer(version)) continue;
    rules.appendTo(version, 'raw', 'PREROUTING', '-j', chains.inbound);
    const peers = config.captureAllDns ? [null] : servers.filter(server => server.version === version);
    for (const peer of peers) {
      const to = peer === null ? [] : ['-d', peer.prefix];
      const from = peer === null ? [] : ['-s', peer.prefix];
      rules.appendTo(version, 'raw', chains.outputDns, '-p', 'udp', '--dport', '53', ...to, '-j', 'CT', '--zone', '2');
      rules.appendTo(version, 'raw', chains.inbound, '-p', 'udp', '--sport', '53', ...from, '-j', 'CT', '--zone', '1');
    }
  }
}
