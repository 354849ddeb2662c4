/**
 * Rules of TPROXY mode: inbound packets are marked and routed to the loopback interface, and reach the proxy with source and
 * destination as they were.
 */
import { chains, loopbackOf, outboundMark, passthroughSource } from './chains.ts';
import type { Config } from './config.ts';
import { splitList } from './prefix.ts';
import type { RuleSet } from './rule-set.ts';

/** Chains that mark: known connections (divert) and new ones (tproxy). */
export function appendTproxyTargets(rules: RuleSet, config: Config): void {
  rules.append('mangle', chains.divert, '-j', 'MARK', '--set-mark', config.inboundTproxyMark);
  rules.append('mangle', chains.divert, '-j', 'ACCEPT');
  const target = ['--tproxy-mark', `${config.inboundTproxyMark}/0xffffffff`, '--on-port', config.inboundCapturePort];
  rules.append('mangle', chains.tproxy, '!', '-d', loopbackOf(config), '-p', 'tcp', '-j', 'TPROXY', ...target);
}

/** Marks travel between packets and connections; what is marked already, or stays inside the pod, is left alone. */
export function appendTproxyMarks(rules: RuleSet, config: Config): void {
  const mark = config.inboundTproxyMark;
  rules.append('mangle', 'PREROUTING', '-p', 'tcp', '-m', 'mark', '--mark', mark, '-j', 'CONNMARK', '--save-mark');
  rules.append('mangle', 'OUTPUT', '-p', 'tcp', '-o', 'lo', '-m', 'mark', '--mark', mark, '-j', 'RETURN');
  const owners = [
    ...splitList(config.proxyUid).map(id => ['-m', 'owner', '--uid-owner', id]),
    ...splitList(config.proxyGid).map(id => ['-m', 'owner', '--gid-owner', id]),
  ];
  for (const owner of owners) {
    const toSelf = ['!', '-d', loopbackOf(config), '-p', 'tcp', '-o', 'lo'];
    rules.append('mangle', 'OUTPUT', ...toSelf, ...owner, '-j', 'MARK', '--set-mark', outboundMark);
  }
  rules.append('mangle', 'OUTPUT', '-p', 'tcp', '-m', 'connmark', '--mark', mark, '-j', 'CONNMARK', '--restore-mark');
  rules.insert('mangle', chains.inbound, 1, '-p', 'tcp', '-m', 'mark', '--mark', mark, '-j', 'RETURN');
  rules.insert('mangle', chains.inbound, 2, '-p', 'tcp', '-s', passthroughSource, '-i', 'lo', '-j', 'RETURN');
  rules.insert('mangle', chains.inbound, 3, '-p', 'tcp', '-i', 'lo', '-m', 'mark', '!', '--mark', outboundMark, '-j', 'RETURN');
}
