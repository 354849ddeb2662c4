/** The init step's entry: `pilot-agent istio-iptables`. */
import {
  type Config,
  defaultConfig,
  type Environment,
  fillFromEnvironment,
  type Host,
  thisHost,
  validateConfig,
} from './config.ts';
import { programIptables } from './configurator.ts';
import { DryRunExecutor, type Executor, SystemExecutor } from './executor.ts';
import { applyArguments, applyEnvironment, renderHelp } from './flags.ts';
import { configureLog, type LogOptions, log } from './log.ts';
import { programNftables } from './nftables/configurator.ts';
import { addRoutes, planRoutes, removeRoutes } from './routes.ts';
import { validateCapture } from './validator.ts';

/** Done; a failure of any kind; the validation failed (a code that the CNI repair controller knows); wrong use. */
const exitCodes = { ok: 0, failure: 1, validation: 126, usage: 255 } as const;

const validationFailure = `iptables validation failed; workload is not ready for Istio.
When using Istio CNI, this can occur if a pod is scheduled before the node is ready.

If installed with 'cni.repair.deletePods=true', this pod should automatically be deleted and retry.
Otherwise, this pod will need to be manually removed so that it is scheduled on a node with istio-cni running, allowing iptables rules to be established.
`;

/** Runs the step. `argv` comes without the command's own name. Resolves to the exit code. */
export async function run(argv: readonly string[], env: Environment = process.env, host: Host = thisHost): Promise<number> {
  const config = defaultConfig();
  const logOptions: LogOptions = { outputLevel: '', json: false, targets: [] };
  try {
    applyEnvironment(config, env);
    if (applyArguments(config, logOptions, argv)) {
      process.stdout.write(renderHelp());
      return exitCodes.ok;
    }
    configureLog(logOptions);
  } catch (error) {
    process.stderr.write(`Error: ${(error as Error).message}\n`);
    log.error((error as Error).message);
    return exitCodes.usage;
  }
  try {
    fillFromEnvironment(config, env, host);
    validateConfig(config);
    applyConfig(config, env);
  } catch (error) {
    log.error((error as Error).message);
    return exitCodes.failure;
  }
  if (!config.runValidation) return exitCodes.ok;
  return validate(config);
}

/** Throws an Error where something cannot be done; then everything is as it was. */
function applyConfig(config: Config, env: Environment): void {
  if (config.nativeNftables) log.info('native nftables enabled, using nft rules for traffic redirection.');
  else if (config.dryRun) log.info('running iptables in dry-run mode, no rule changes will be made');
  if (config.skipRuleApply) return;
  if (config.dryRun) {
    applyRules(config, env, new DryRunExecutor(env.DRY_RUN_FILE_PATH ?? ''));
    return;
  }
  const executor = new SystemExecutor(config.forceIptablesBinary);
  const routes = planRoutes(config);
  const added = config.cleanupOnly ? [] : addRoutes(routes, executor);
  try {
    applyRules(config, env, executor);
  } catch (error) {
    removeRoutes(added, executor);
    throw error;
  }
  // Differs from Istio: the original adds them after a cleanup too.
  if (config.cleanupOnly) removeRoutes(routes, executor);
}

function applyRules(config: Config, env: Environment, executor: Executor): void {
  const transaction = config.nativeNftables ? programNftables(config, env, executor) : null;
  if (transaction === null) programIptables(config, env, executor);
  if (config.dryRun) log.info('skipping configuring routes due to dry run mode');
  if (transaction !== null) log.info(`nftables rules programmed:\n${transaction}`);
}

async function validate(config: Config): Promise<number> {
  try {
    await validateCapture(config);
    return exitCodes.ok;
  } catch (error) {
    log.error(`Validation failed: ${(error as Error).message}`);
    log.error(validationFailure);
    return exitCodes.validation;
  }
}

if (import.meta.main) process.exitCode = await run(process.argv.slice(2));
