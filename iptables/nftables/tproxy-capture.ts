/** Rules of TPROXY mode in nftables' words; see ../tproxy-capture.ts for what they are for. */
import { loopbackOf, outboundMark, passthroughSource } from '../chains.ts';
import type { Config } from '../config.ts';
import { splitList } from '../prefix.ts';
import { type NftRuleSet, nftChains } from './rule-set.ts';

const tcp = 'meta l4proto tcp';

/** Inbound capture: packets of known connections are marked (divert), new connections are given to the proxy's socket (tproxy). */
export function captureInboundTproxy(rules: NftRuleSet, config: Config): void {
  const mark = config.inboundTproxyMark;
  const loopback = loopbackOf(config);
  rules.append('mangle', nftChains.divert, 'counter meta mark set', mark);
  rules.append('mangle', nftChains.divert, 'counter accept');
  for (const [family, own] of [
    ['ip', loopback.v4],
    ['ip6', loopback.v6],
  ]) {
    const target = `tproxy ${family} to :${config.inboundCapturePort}`;
    rules.append('mangle', nftChains.tproxy, tcp, `${family} daddr != ${own}`, target, `meta mark set ${mark} counter accept`);
  }
  rules.append('mangle', nftChains.prerouting, tcp, 'counter jump', nftChains.inbound);
  const inbound = (...parts: string[]): void => rules.append('mangle', nftChains.inbound, tcp, ...parts);
  const known = 'ct state related,established';
  if (config.inboundPortsInclude === '*') {
    for (const port of splitList(config.inboundPortsExclude)) inbound('tcp dport', port, 'counter return');
    inbound(known, 'counter jump', nftChains.divert);
    inbound('counter jump', nftChains.tproxy);
    return;
  }
  for (const port of splitList(config.inboundPortsInclude)) {
    inbound(known, 'tcp dport', port, 'counter jump', nftChains.divert);
    inbound('tcp dport', port, 'counter jump', nftChains.tproxy);
  }
}

/** Marks travel between packets and connections; what is marked already, or stays inside the pod, is left alone. */
export function appendTproxyMarks(rules: NftRuleSet, config: Config): void {
  const mark = config.inboundTproxyMark;
  const loopback = loopbackOf(config);
  rules.append('mangle', nftChains.prerouting, tcp, 'mark', mark, 'counter ct mark set mark');
  rules.append('mangle', nftChains.hookOutput, 'oifname lo', tcp, 'mark', mark, 'counter return');
  const owners = [...splitList(config.proxyUid).map(id => `skuid ${id}`), ...splitList(config.proxyGid).map(id => `skgid ${id}`)];
  for (const owner of owners) {
    for (const self of [`ip daddr != ${loopback.v4}`, `ip6 daddr != ${loopback.v6}`]) {
      rules.append('mangle', nftChains.hookOutput, 'oifname lo', tcp, self, owner, `counter meta mark set ${outboundMark}`);
    }
  }
  rules.append('mangle', nftChains.hookOutput, tcp, 'ct mark', mark, 'counter meta mark set ct mark');
  rules.insert('mangle', nftChains.inbound, 0, tcp, 'mark', mark, 'counter return');
  const ownSource = [`ip saddr ${passthroughSource.v4}`, `ip6 saddr ${passthroughSource.v6}`];
  for (const source of ownSource) rules.insert('mangle', nftChains.inbound, 1, 'iifname lo', tcp, source, 'counter return');
  rules.insert('mangle', nftChains.inbound, 2, 'iifname lo', tcp, `mark != ${outboundMark} counter return`);
}
