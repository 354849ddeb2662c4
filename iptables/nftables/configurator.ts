/**
 * Brings native nftables to what is asked for. One transaction replaces the tables of ours and touches no other: no state to compare, no
 * half-way.
 */
import { capturesDns } from '../chains.ts';
import type { Config, Environment } from '../config.ts';
import { logConfig } from '../config-log.ts';
import type { Executor } from '../executor.ts';
import { explainFailure } from '../failure.ts';
import { log } from '../log.ts';
import { buildNftRules } from './capture.ts';
import { renderRemoval, renderTransaction } from './rule-set.ts';

/**
 * Applies the rules of `config`, or removes them, and returns the transaction. Throws an Error where nft refuses it.
 *
 * Differs from Istio: a dry run changes nothing, and needs no nft. The original applies the rules even then.
 */
export function programNftables(config: Config, env: Environment, executor: Executor): string {
  const { rules } = buildNftRules(config);
  if (config.redirectDns && !capturesDns(config)) {
    log.warn('REDIRECT_DNS is set, but CAPTURE_ALL_DNS is false, and no DNS servers provided. DNS capture disabled.');
  }
  logConfig(config, env, 'nftables');
  const stdin = config.cleanupOnly ? renderRemoval() : renderTransaction(rules);
  const result = executor.runTool('nft', ['-f', '-'], stdin);
  if (!result.ok)
    throw new Error(`nativeNftables is enabled: ${explainFailure({ command: 'nft', stderr: result.stderr, stdin }, config)}`);
  return stdin;
}
