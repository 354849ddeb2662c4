/**
 * Brings the namespace from what is there to what is asked for: nothing if it is there, apply if it is clean, replace behind
 * guardrails with --reconcile, remove with --cleanup-only.
 */
import { buildRules } from './capture.ts';
import { capturesDns } from './chains.ts';
import type { Config, Environment } from './config.ts';
import { logConfig } from './config-log.ts';
import { binaryOf, type Executor, type IptablesVersion } from './executor.ts';
import { explainCause, explainFailure } from './failure.ts';
import { log } from './log.ts';
import {
  guardrails,
  type Rule,
  renderChecks,
  renderCleanup,
  renderCommands,
  renderDeletions,
  renderRestore,
  renderUndo,
} from './rule-set.ts';
import { judgeState, type Verdict } from './state.ts';

/** One IP version: its rules, the binaries that serve it, and what was there before. */
type Family = {
  readonly name: 'IPv4' | 'IPv6';
  readonly version: IptablesVersion;
  readonly rules: readonly Rule[];
  /** The output of iptables-save; null if that failed. */
  readonly saved: string | null;
};

/** Applies the rules of `config`. Throws an Error where a command that must succeed fails. */
export function programIptables(config: Config, env: Environment, executor: Executor): void {
  const versions = { v4: executor.detect(false), v6: detectV6(config, executor) };
  try {
    const rules = buildRules(config);
    if (config.redirectDns && !capturesDns(config)) {
      log.warn('REDIRECT_DNS is set, but CAPTURE_ALL_DNS is false, and no DNS servers provided. DNS capture disabled.');
    }
    logConfig(config, env, 'iptables');
    reachRules(config, executor, [
      readFamily('IPv4', executor, versions.v4, rules.v4),
      readFamily('IPv6', executor, versions.v6, rules.v6),
    ]);
  } finally {
    logFinalState(config, executor, versions);
  }
}

function readFamily(name: Family['name'], executor: Executor, version: IptablesVersion, rules: readonly Rule[]): Family {
  const saved = executor.run(version, 'save', []);
  if (!saved.ok) log.warn(`[${name}] iptables-save failed. Assuming clean state. ${saved.stderr}`);
  return { name, version, rules, saved: saved.ok ? saved.stdout : null };
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
      for (const family of active) restore(config, executor, family);
    }
  } catch (error) {
    for (const family of active) undo(executor, family);
    throw error;
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
  const verdicts = families.map(({ name, version, rules, saved }): Verdict => {
    const hasEveryRule = (): boolean => renderChecks(rules).every(args => executor.run(version, 'iptables', args).ok);
    const verdict = judgeState(saved, renderRestore(rules), hasEveryRule);
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
    for (const args of renderCommands(guardrails)) {
      const result = executor.run(version, 'iptables', args);
      if (!result.ok) throw new Error(`${binaryOf(version, 'iptables')} ${args.join(' ')}: ${explainCause(result.stderr)}`);
    }
  }
}

function restore(config: Config, executor: Executor, { version, rules }: Family): void {
  const text = renderRestore(rules);
  const command = binaryOf(version, 'restore');
  log.info(`Running iptables restore with: ${command} and the following input:\n${text.trim()}`);
  const result = executor.run(version, 'restore', ['--noflush'], text);
  if (!result.ok) throw new Error(explainFailure({ command, stderr: result.stderr, stdin: text }, config));
}

/**
 * Each table is committed on its own, and each IP version: a failure in one would leave the others in place.
 *
 * Differs from Istio: the original leaves what was committed before the failure.
 */
function undo(executor: Executor, { name, version, rules, saved }: Family): void {
  const current = executor.run(version, 'save', []);
  if (saved === null || (current.ok && withoutCounters(current.stdout) === withoutCounters(saved))) return;
  const result = executor.run(version, 'restore', [], renderUndo(rules, saved));
  if (result.ok) log.info(`The ${name} rules are as they were before`);
  else log.error(`The ${name} rules could not be brought back to what they were: ${explainCause(result.stderr)}`);
}

/** The rules of iptables-save, without the time and the counters of chains. */
function withoutCounters(saved: string): string {
  return saved.replace(/^#.*\n/gm, '').replace(/ \[\d+:\d+\]/g, '');
}

function tryAll(executor: Executor, version: IptablesVersion, commands: readonly string[][]): void {
  for (const args of commands) {
    const result = executor.run(version, 'iptables', args);
    if (!result.ok) log.debug(`Ignoring iptables command error: ${result.stderr}`);
  }
}

function logFinalState(config: Config, executor: Executor, versions: { v4: IptablesVersion; v6: IptablesVersion }): void {
  const v4 = executor.run(versions.v4, 'save', []);
  if (v4.ok) log.info(`Final iptables state (IPv4):\n${v4.stdout}`);
  if (!config.enableIpv6) return;
  const v6 = executor.run(versions.v6, 'save', []);
  if (v6.ok) log.info(`Final iptables state (IPv6):\n${v6.stdout}`);
}
