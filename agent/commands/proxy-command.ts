/** `proxy`: runs the agent and, under it, the proxy. */
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { istioVersion } from '../../common/version.ts';
import { discoverAddresses } from '../config/addresses.ts';
import { readPodAnnotations, readPodLabels, type StringMap } from '../config/downward-api.ts';
import { processVariables, readEnvironment } from '../config/environment.ts';
import { buildProxyConfig, type ProxyConfig, renderProxyConfig } from '../config/proxy-config.ts';
import { Agent } from '../lifecycle/agent.ts';
import type { PreparedProxy } from '../lifecycle/prepared-proxy.ts';
import { AgentLogger, configureAgentLog } from '../log.ts';
import { type FlagTable, type FlagValues, loggingFlags, parseFlags } from './flags.ts';

const log = new AgentLogger('default');

export const proxyFlags = {
  domain: { kind: 'string', default: '' },
  meshConfig: { kind: 'string', default: './etc/istio/config/mesh' },
  stsPort: { kind: 'int', default: 0 },
  tokenManagerPlugin: { kind: 'string', default: '' },
  serviceCluster: { kind: 'string', default: 'istio-proxy' },
  proxyLogLevel: { kind: 'string', default: 'warning' },
  proxyComponentLogLevel: { kind: 'string', default: '' },
  concurrency: { kind: 'int', default: 0 },
  templateFile: { kind: 'string', default: '' },
  outlierLogPath: { kind: 'string', default: '' },
  profiling: { kind: 'bool', default: true },
  ...loggingFlags,
} as const satisfies FlagTable;

const proxyTypes = ['sidecar', 'router', 'waypoint', 'ztunnel', 'agentgateway'] as const;

/**
 * Runs until the proxy ends or a signal comes.
 * @param prepared is used if the configuration wants that very program.
 * @throws if the configuration is invalid or a part cannot start.
 */
export async function runProxy(argv: readonly string[], prepared: PreparedProxy | null): Promise<number> {
  const { flags, positional } = parseFlags(proxyFlags, argv);
  // As a program of its own it has its own log.
  configureAgentLog({ outputLevel: flags.log_output_level, json: flags.log_as_json, targets: flags.log_target });
  printFlags(flags);
  log.info(`Version ${istioVersion}-unknown-Clean`);
  const type = positional[0] ?? 'sidecar';
  if (!(proxyTypes as readonly string[]).includes(type)) throw new Error(`invalid proxy Type: ${type}`);
  const environment = readEnvironment(processVariables());
  const annotations = readAnnotations();
  const addresses = discoverAddresses(environment.instanceIp, annotations ?? {});
  const podId = `${environment.podName}.${environment.podNamespace}`;
  const domain = flags.domain === '' ? `${environment.podNamespace}.svc.cluster.local` : flags.domain;
  log.info('Proxy role', { ips: addresses, type, id: podId, domain });
  const merged = mergeProxyConfig({
    meshFile: existsSync(flags.meshConfig) ? readFileSync(flags.meshConfig, 'utf8') : '',
    environment: environment.proxyConfig,
    annotations: annotations ?? {},
    serviceCluster: flags.serviceCluster,
    concurrency: flags.concurrency,
    cpuLimit: environment.cpuLimit,
  });
  if ((merged.concurrency ?? 0) === 0 && environment.cpuLimit < availableParallelism()) {
    log.warn(
      'concurrency is set to 0, which will use a thread per CPU on the host. However, CPU limit is set lower. ' +
        'This is not recommended and may lead to performance issues. ' +
        `CPU count: ${availableParallelism()}, CPU Limit: ${environment.cpuLimit}.`,
    );
  }
  log.info(`Effective config: ${renderProxyConfig(merged)}`);
  const useTemplate = flags.templateFile !== '' && merged.customConfigFile === undefined;
  const proxyConfig = useTemplate ? { ...merged, proxyBootstrapTemplatePath: flags.templateFile } : merged;
  const agent = new Agent({
    type,
    nodeId: `${type}~${addresses[0] ?? ''}~${podId}~${domain}`,
    domain,
    addresses,
    environment,
    proxyConfig,
    podLabels: readPodLabels(),
    podAnnotations: annotations,
    logAsJson: flags.log_as_json,
    proxyLogLevel: flags.proxyLogLevel,
    proxyComponentLogLevel: flags.proxyComponentLogLevel,
    outlierLogPath: flags.outlierLogPath,
    stsPort: flags.stsPort,
    profiling: flags.profiling,
    preparedProxy: prepared,
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => agent.stop(`received ${signal}`));
  try {
    await agent.run();
  } finally {
    await agent.close();
  }
  return 0;
}

function mergeProxyConfig(sources: Parameters<typeof buildProxyConfig>[0]): ProxyConfig {
  try {
    return buildProxyConfig(sources);
  } catch (error) {
    throw new Error(`failed to get proxy config: ${(error as Error).message}`, { cause: error });
  }
}

function printFlags(flags: FlagValues<typeof proxyFlags>): void {
  for (const name of Object.keys(flags).toSorted()) {
    const value = flags[name as keyof typeof flags];
    log.info(`FLAG: --${name}="${Array.isArray(value) ? `[${value.join(',')}]` : value}"`);
  }
}

function readAnnotations(): StringMap | null {
  try {
    return readPodAnnotations();
  } catch (error) {
    log.warn(`failed to read pod annotations: ${(error as Error).message}`);
    return null;
  }
}
