/**
 * Runs the proxy until it ends or the agent is told to stop, and drains it before.
 *
 * There are four ways out: the proxy ends by itself; `/quitquitquit` ends it at once; SIGTERM drains, waits and ends it; a drain
 * asked for before (native sidecars) makes SIGTERM end it at once. Source: istio.io/istio pkg/envoy/agent.go.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Environment } from '../config/environment.ts';
import { renderGoDuration } from '../config/duration.ts';
import { AgentLogger } from '../log.ts';
import { requestAdmin } from './admin-client.ts';
import type { ProxyExit, ProxyProcess } from './proxy-process.ts';

const log = new AgentLogger('default');

const drainRequestTimeoutMs = 30_000;
const connectionCheckIntervalMs = 1000;
const connectionCheckTimeoutMs = 2000;
const maxConnectionCheckFailures = 5;

export type SupervisorOptions = {
  readonly startProxy: () => ProxyProcess;
  readonly localhost: string;
  readonly adminPort: number;
  /** Sidecars drain their inbound side only: the application still sends while it stops. */
  readonly inboundOnly: boolean;
  readonly terminationDrainMs: number;
  readonly environment: Environment;
};

export class Supervisor {
  readonly #options: SupervisorOptions;
  #skipsDrain = false;
  #proxy: ProxyProcess | null = null;

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  /** Resolves when the proxy is gone. */
  async run(stop: AbortSignal): Promise<void> {
    log.info('Starting proxy agent');
    const proxy = this.#options.startProxy();
    this.#proxy = proxy;
    const stopped = new Promise<'stop'>(resolve => {
      if (stop.aborted) resolve('stop');
      else stop.addEventListener('abort', () => resolve('stop'), { once: true });
    });
    const first = await Promise.race([proxy.exited, stopped]);
    if (first !== 'stop') {
      logExit(first);
      return;
    }
    await this.#terminate(proxy);
    log.info('Agent has successfully terminated');
  }

  /** Ends the proxy at once. */
  abort(): void {
    this.#proxy?.kill();
  }

  /** Ending will not drain any more. */
  skipDrain(): void {
    this.#skipsDrain = true;
  }

  /** Drains now and goes on serving; the end then comes at once. */
  async drainNow(): Promise<void> {
    log.info('Agent draining proxy');
    this.#skipsDrain = true;
    await this.#drain(true);
  }

  async #drain(skipExit: boolean): Promise<void> {
    const { localhost, adminPort, inboundOnly } = this.#options;
    const path = `/drain_listeners?${inboundOnly ? 'inboundonly&' : ''}graceful${skipExit ? '&skip_exit' : ''}`;
    try {
      await requestAdmin(localhost, adminPort, 'POST', path, drainRequestTimeoutMs);
    } catch (error) {
      log.warn(`Error in invoking drain listeners endpoint: ${(error as Error).message}`);
    }
  }

  async #terminate(proxy: ProxyProcess): Promise<void> {
    log.info('Agent draining Proxy for termination');
    if (this.#skipsDrain) log.info('Agent already drained, exiting immediately');
    else {
      await this.#drain(false);
      const { environment, terminationDrainMs } = this.#options;
      const waiting = new AbortController();
      const grace = environment.exitOnZeroActiveConnections
        ? this.#awaitIdle(environment.minimumDrainMs, waiting.signal)
        : awaitPeriod(terminationDrainMs, waiting.signal);
      const early = await Promise.race([proxy.exited, grace.then(() => null)]);
      waiting.abort();
      if (early !== null) {
        log.info('Graceful termination logic ended prematurely, envoy process terminated early');
        return;
      }
    }
    log.warn('Aborting proxy');
    proxy.kill();
    await proxy.exited;
    log.info('Envoy aborted normally');
    log.warn('Aborted proxy instance');
  }

  async #awaitIdle(minimumDrainMs: number, signal: AbortSignal): Promise<void> {
    const minimum = renderGoDuration(minimumDrainMs);
    log.info(`Agent draining proxy for ${minimum}, then waiting for active connections to terminate...`);
    await pause(minimumDrainMs, signal);
    log.info('Checking for active connections...');
    let failures = 0;
    while (!signal.aborted) {
      await pause(connectionCheckIntervalMs, signal);
      try {
        const active = await this.#countActiveConnections();
        if (active === null) {
          log.info('downstream_cx_active are not available. Skipping active connections check...');
          return;
        }
        if (active === 0) {
          log.info('There are no more active connections. terminating proxy...');
          return;
        }
        log.info(`There are still ${active} active connections`);
        failures = 0;
      } catch (error) {
        log.error(`unable to get listener stats from Envoy : ${(error as Error).message}`);
        if (++failures >= maxConnectionCheckFailures) {
          log.warn('Graceful termination logic ended prematurely, error while obtaining downstream_cx_active stat');
          return;
        }
        log.warn(`Retrying (${failures} attempt) to obtain active connections...`);
      }
    }
  }

  /** Null if there are no such statistics. */
  async #countActiveConnections(): Promise<number | null> {
    const { localhost, adminPort, environment } = this.#options;
    const path = '/stats?usedonly&filter=downstream_cx_active$';
    const { body } = await requestAdmin(localhost, adminPort, 'GET', path, connectionCheckTimeoutMs);
    return body === '' ? null : sumActiveConnections(body, environment);
  }
}

/** Adds up the connections of application traffic: not the admin's, the health and metrics listeners', nor internal ones. */
export function sumActiveConnections(
  stats: string,
  ports: Pick<Environment, 'envoyStatusPort' | 'envoyPrometheusPort' | 'envoySecureMetricsPort' | 'envoySecureMergedMetricsPort'>,
): number {
  const own = [
    ports.envoyStatusPort,
    ports.envoyPrometheusPort,
    ports.envoySecureMetricsPort,
    ports.envoySecureMergedMetricsPort,
  ].map(port => `0.0.0.0_${port}`);
  const ignored = new Set(['admin', 'admin.main_thread', ...own].map(name => `listener.${name}.downstream_cx_active`));
  let sum = 0;
  for (const line of stats.split('\n')) {
    const [name, value, ...rest] = line.split(':');
    if (value === undefined || rest.length > 0) continue;
    if (!name.startsWith('listener.') || name.includes('worker_') || name.startsWith('listener.envoy_internal_')) continue;
    if (!ignored.has(name)) sum += Number.parseInt(value, 10) || 0;
  }
  return sum;
}

async function awaitPeriod(ms: number, signal: AbortSignal): Promise<void> {
  log.info(`Graceful termination period is ${renderGoDuration(ms)}, starting...`);
  await pause(ms, signal);
  if (!signal.aborted) log.info('Graceful termination period complete, terminating remaining proxies.');
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {});
}

function logExit(exit: ProxyExit): void {
  if (exit.kind === 'failed') log.error(`Envoy exited with error: ${exit.error.message}`);
  else if (exit.signal !== null) {
    if (exit.signal === 'SIGKILL') {
      log.warn('Envoy may have been out of memory killed. Check memory usage and limits.');
    }
    log.error(`Envoy exited with error: signal: ${signalTexts[exit.signal] ?? exit.signal}`);
  } else if (exit.code !== 0) log.error(`Envoy exited with error: exit status ${exit.code}`);
  else log.info('Envoy exited normally');
}

const signalTexts: Readonly<Partial<Record<NodeJS.Signals, string>>> = {
  SIGKILL: 'killed',
  SIGTERM: 'terminated',
  SIGSEGV: 'segmentation fault',
  SIGABRT: 'aborted',
};
