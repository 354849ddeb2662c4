/**
 * Brings the namespace from what is there to what is asked for: nothing if it is there, apply if it is clean, replace behind
 * guardrails with --reconcile, remove with --cleanup-only.
 */
import { buildRules } from './capture.ts';
import { capturesDns } from './chains.ts';
import type { Config, Environment } from './config.ts';
import { binaryOf, type CommandResult, type Executor, type IptablesVersion } from './executor.ts';
import { log } from './log.ts';
import {
  guardrails,
  type Rule,
  type RuleSet,
  renderChecks,
  renderCleanup,
  renderCommands,
  renderDeletions,
  renderRestore,
} from './rule-set.ts';
import { judgeState, type Verdict } from './state.ts';

/** One IP version: its rules and the binaries that serve it. */
type Family = { readonly name: 'IPv4' | 'IPv6'; readonly version: IptablesVersion; readonly rules: readonly Rule[] };

/** Applies the rules of `config`. Throws an Error where a command that must succeed fails. */
export function programIptables(config: Config, env: Environment, executor: Executor): void {
  const versions = { v4: executor.detect(false), v6: detectV6(config, executor) };
  let families: Family[] = [];
  try {
    const rules = buildRules(config);
    if (config.redirectDns && !capturesDns(config)) {
      log.warn('REDIRECT_DNS is set, but CAPTURE_ALL_DNS is false, and no DNS servers provided. DNS capture disabled.');
    }
    logConfig(config, env);
    families = familiesOf(rules, versions);
    reachRules(config, executor, families);
  } finally {
    logFinalState(config, executor, versions);
  }
}

function familiesOf(rules: RuleSet, versions: { v4: IptablesVersion; v6: IptablesVersion }): Family[] {
  return [
    { name: 'IPv4', version: versions.v4, rules: rules.v4 },
    { name: 'IPv6', version: versions.v6, rules: rules.v6 },
  ];
}

function detectV6(config: Config, executor: Executor): IptablesVersion {
  try {
    return executor.detect(true);
  } catch (error) {
    if (config.enableIpv6) throw error;
    const reason = (error as Error).message;
    log.warn(
      'Failed to detect a working ip6tables binary; continuing because IPv6 support is disabled ' +
        `(ENABLE_INBOUND_IPV6=false): ${reason}`,
    );
    return { binary: '', legacy: false, hasRules: false };
  }
}

function reachRules(config: Config, executor: Executor, families: readonly Family[]): void {
  const { residue, delta } = judge(executor, families);
  const active = families.filter(family => family.name === 'IPv4' || config.enableIpv6);
  if (residue && delta && !config.reconcile) {
    log.info(
      'reconcile is recommended but no-reconcile flag is set. Unexpected behavior may occur due to preexisting iptables rules',
    );
  }
  const replaces = residue && delta && config.reconcile && !config.cleanupOnly;
  let guarded = false;
  try {
    if (replaces) {
      guarded = true;
      raiseGuardrails(executor, active);
    }
    if (replaces || config.cleanupOnly) {
      log.info('Performing cleanup of existing iptables');
      for (const { version, rules } of active) tryAll(executor, version, renderCleanup(rules));
    }
    if ((delta || config.forceApply) && !config.cleanupOnly) {
      log.info('Applying iptables chains and rules');
      for (const family of active) restore(executor, family);
    }
  } finally {
    if (guarded) {
      log.info('Removing guardrails');
      for (const { version } of active) tryAll(executor, version, renderDeletions(guardrails));
    }
  }
  if (!delta && config.forceApply) {
    log.warn('The forced apply of iptables changes succeeded despite the presence of conflicting rules or chains.');
  }
}

function judge(executor: Executor, families: readonly Family[]): { residue: boolean; delta: boolean } {
  const verdicts = families.map(({ name, version, rules }): Verdict => {
    const saved = executor.run(version, 'save', []);
    if (!saved.ok) log.warn(`[${name}] iptables-save failed. Assuming clean state. ${saved.stderr}`);
    const hasEveryRule = (): boolean => renderChecks(rules).every(args => executor.run(version, 'iptables', args).ok);
    const verdict = judgeState(saved.ok ? saved.stdout : null, renderRestore(rules), hasEveryRule);
    if (verdict.residue && !verdict.planned) log.info(`Ignoring residues because no rules are planned for ${name}`);
    return verdict;
  });
  if (!verdicts.some(verdict => verdict.residue && verdict.planned)) {
    log.info('Clean-state detected, new iptables are needed');
    return { residue: false, delta: true };
  }
  const delta = verdicts.some(verdict => verdict.delta);
  log.info(
    delta
      ? 'Found residues of old iptables rules/chains, reconciliation is recommended'
      : 'Found compatible residues of old iptables rules/chains, reconciliation not needed',
  );
  return { residue: true, delta };
}

function raiseGuardrails(executor: Executor, active: readonly Family[]): void {
  log.info('Setting up guardrails');
  for (const { version } of active) {
    tryAll(executor, version, renderDeletions(guardrails));
    for (const args of renderCommands(guardrails)) mustSucceed(executor.run(version, 'iptables', args));
  }
}

function restore(executor: Executor, { version, rules }: Family): void {
  const text = renderRestore(rules);
  log.info(`Running iptables restore with: ${binaryOf(version, 'restore')} and the following input:\n${text.trim()}`);
  mustSucceed(executor.run(version, 'restore', ['--noflush'], text));
}

function tryAll(executor: Executor, version: IptablesVersion, commands: readonly string[][]): void {
  for (const args of commands) {
    const result = executor.run(version, 'iptables', args);
    if (!result.ok) log.debug(`Ignoring iptables command error: ${result.stderr}`);
  }
}

function mustSucceed(result: CommandResult): void {
  if (result.ok) return;
  log.error(`Command error: ${result.stderr}`);
  throw new Error(result.stderr);
}

function logFinalState(config: Config, executor: Executor, versions: { v4: IptablesVersion; v6: IptablesVersion }): void {
  const v4 = executor.run(versions.v4, 'save', []);
  if (v4.ok) log.info(`Final iptables state (IPv4):\n${v4.stdout}`);
  if (!config.enableIpv6) return;
  const v6 = executor.run(versions.v6, 'save', []);
  if (v6.ok) log.info(`Final iptables state (IPv6):\n${v6.stdout}`);
}

/** Environment and effective configuration, as support tools look for them in the init container's log. */
function logConfig(config: Config, env: Environment): void {
  const names = [
    ...['ENVOY_PORT', 'INBOUND_CAPTURE_PORT', 'ISTIO_INBOUND_INTERCEPTION_MODE', 'ISTIO_INBOUND_TPROXY_ROUTE_TABLE'],
    ...['ISTIO_INBOUND_PORTS', 'ISTIO_OUTBOUND_PORTS', 'ISTIO_LOCAL_EXCLUDE_PORTS', 'ISTIO_EXCLUDE_INTERFACES'],
    ...['ISTIO_SERVICE_CIDR', 'ISTIO_SERVICE_EXCLUDE_CIDR', 'ISTIO_META_DNS_CAPTURE', 'INVALID_DROP'],
  ];
  log.info(`Istio iptables environment:\n${names.map(name => `${name}=${env[name] ?? ''}\n`).join('')}`);
  const servers = [config.dnsServersV4, config.dnsServersV6].map(list => `[${list.join(' ')}]`).join(',');
  const values: readonly (readonly [string, string | boolean])[] = [
    ['PROXY_PORT', config.proxyPort],
    ['PROXY_INBOUND_CAPTURE_PORT', config.inboundCapturePort],
    ['PROXY_TUNNEL_PORT', config.inboundTunnelPort],
    ['PROXY_UID', config.proxyUid],
    ['PROXY_GID', config.proxyGid],
    ['INBOUND_INTERCEPTION_MODE', config.inboundInterceptionMode],
    ['INBOUND_TPROXY_MARK', config.inboundTproxyMark],
    ['INBOUND_TPROXY_ROUTE_TABLE', config.inboundTproxyRouteTable],
    ['INBOUND_PORTS_INCLUDE', config.inboundPortsInclude],
    ['INBOUND_PORTS_EXCLUDE', config.inboundPortsExclude],
    ['OUTBOUND_OWNER_GROUPS_INCLUDE', config.ownerGroupsInclude],
    ['OUTBOUND_OWNER_GROUPS_EXCLUDE', config.ownerGroupsExclude],
    ['OUTBOUND_IP_RANGES_INCLUDE', config.outboundIpRangesInclude],
    ['OUTBOUND_IP_RANGES_EXCLUDE', config.outboundIpRangesExclude],
    ['OUTBOUND_PORTS_INCLUDE', config.outboundPortsInclude],
    ['OUTBOUND_PORTS_EXCLUDE', config.outboundPortsExclude],
    ['KUBE_VIRT_INTERFACES', config.rerouteVirtualInterfaces],
    ['ENABLE_INBOUND_IPV6', config.enableIpv6],
    ['DUAL_STACK', config.dualStack],
    ['DNS_CAPTURE', config.redirectDns],
    ['DROP_INVALID', config.dropInvalid],
    ['CAPTURE_ALL_DNS', config.captureAllDns],
    ['DNS_SERVERS', servers],
    ['NETWORK_NAMESPACE', config.networkNamespace],
    ['CNI_MODE', config.cniMode],
    ['EXCLUDE_INTERFACES', config.excludeInterfaces],
    ['RECONCILE', config.reconcile],
    ['CLEANUP_ONLY', config.cleanupOnly],
    ['FORCE_APPLY', config.forceApply],
    ['NATIVE_NFTABLES', config.nativeNftables],
    ['FORCE_IPTABLES_BINARY', config.forceIptablesBinary],
  ];
  log.info(`Istio config:\n${values.map(([name, value]) => `${name}=${value}\n`).join('')}`);
}
