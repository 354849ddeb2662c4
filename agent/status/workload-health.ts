/**
 * The health of a workload that no kubelet watches (virtual machines): probed here as its ProxyConfig says, and told to istiod
 * when it changes.
 *
 * Source: istio.io/istio pkg/istio-agent/health.
 */
import { execFile } from 'node:child_process';
import type { ReadinessProbe } from '../config/proxy-config.ts';
import { AgentLogger } from '../log.ts';
import { runAppProbe } from './app-probe.ts';
import type { AppProbe } from './app-probe-config.ts';
import type { ReadinessCheck } from './readiness.ts';

const log = new AgentLogger('healthcheck');

const unhealthyCode = 500;

export type WorkloadHealthOptions = {
  readonly probe: ReadinessProbe;
  /** The workload's address, for probes that name no host. */
  readonly defaultHost: string;
  readonly sourceAddress: string;
  /** The proxy's own readiness, which is part of the workload's; null without a proxy. */
  readonly proxyCheck: ReadinessCheck | null;
  /** Told each time the state changes; null is healthy. */
  readonly onChange: (error: { readonly code: number; readonly message: string } | null) => void;
};

export class WorkloadHealth {
  readonly #options: WorkloadHealthOptions;
  #timer: NodeJS.Timeout;
  #closed = false;
  #state: 'healthy' | 'unhealthy' | null = null;
  #successes = 0;
  #failures = 0;

  constructor(options: WorkloadHealthOptions) {
    this.#options = options;
    this.#timer = setTimeout(() => void this.#check(), (options.probe.initialDelaySeconds ?? 0) * 1000);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async #check(): Promise<void> {
    const startMs = performance.now();
    const reason = (await this.#options.proxyCheck?.()) ?? (await findFailure(this.#options));
    if (this.#closed) return;
    this.#count(reason);
    const periodMs = (this.#options.probe.periodSeconds || 10) * 1000;
    this.#timer = setTimeout(() => void this.#check(), Math.max(0, periodMs - (performance.now() - startMs)));
  }

  #count(reason: string | null): void {
    const { probe, onChange } = this.#options;
    if (reason === null) {
      this.#failures = 0;
      if (++this.#successes < (probe.successThreshold || 1) || this.#state === 'healthy') return;
      log.info('success threshold hit, marking as healthy');
      this.#state = 'healthy';
      onChange(null);
      return;
    }
    log.debug(`probe completed with unhealthy status: ${reason}`);
    this.#successes = 0;
    if (++this.#failures < (probe.failureThreshold || 3) || this.#state === 'unhealthy') return;
    log.info(`failure threshold hit, marking as unhealthy: ${reason}`);
    this.#state = 'unhealthy';
    onChange({ code: unhealthyCode, message: reason });
  }
}

async function findFailure({ probe, defaultHost, sourceAddress }: WorkloadHealthOptions): Promise<string | null> {
  const timeoutMs = (probe.timeoutSeconds || 1) * 1000;
  if (probe.exec !== undefined) return runCommand(probe.exec.command ?? [], timeoutMs);
  const host = probe.httpGet?.host || probe.tcpSocket?.host || defaultHost;
  const translated = translateProbe(probe, timeoutMs);
  if (translated === null) return 'the readiness probe has no method';
  const given = (probe.httpGet?.httpHeaders ?? []).map(({ name = '', value = '' }) => [name.toLowerCase(), value]);
  const { host: hostHeader = `${host}:${translated.port}`, ...headers } = Object.fromEntries(given) as Record<string, string>;
  const target = { destination: host, sourceAddress, statusPort: -1 };
  const { status } = await runAppProbe(translated, target, { host: hostHeader, headers });
  return status >= 200 && status < 400 ? null : `status code was not from [200,400), bad code ${status}`;
}

function translateProbe({ httpGet, tcpSocket, grpc }: ReadinessProbe, timeoutMs: number): AppProbe | null {
  if (httpGet !== undefined) {
    const tls = httpGet.scheme?.toLowerCase() === 'https';
    const path = httpGet.path ?? '';
    return { kind: 'http', path: path.startsWith('/') ? path : `/${path}`, port: httpGet.port ?? 0, tls, timeoutMs };
  }
  if (tcpSocket !== undefined) return { kind: 'tcp', port: tcpSocket.port ?? 0, timeoutMs };
  if (grpc !== undefined) return { kind: 'grpc', port: grpc.port ?? 0, service: grpc.service ?? '', timeoutMs };
  return null;
}

function runCommand([file = '', ...args]: readonly string[], timeoutMs: number): Promise<string | null> {
  return new Promise(resolve => {
    execFile(file, args, { timeout: timeoutMs, killSignal: 'SIGKILL' }, error => {
      if (error === null) resolve(null);
      else resolve(error.killed ? `command timeout exceeded: ${error.message}` : error.message);
    });
  });
}
