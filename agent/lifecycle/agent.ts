/**
 * The agent's composition root.
 *
 * The proxy loads from the beginning, and is told its arguments as soon as its bootstrap file and its sockets are there. What serves
 * these sockets is loaded while the proxy loads, too: loading is most of the start of either.
 *
 * Source: istio.io/istio pkg/istio-agent/agent.go.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { dirname, join } from 'node:path';
import { addressFamily } from '../config/addresses.ts';
import type { StringMap } from '../config/downward-api.ts';
import type { Environment } from '../config/environment.ts';
import { buildNode, type Node } from '../config/node-metadata.ts';
import { discoverPlatform } from '../config/platform/platform.ts';
import { durationMs, type ProxyConfig } from '../config/proxy-config.ts';
import { prepareKeyPair } from '../identity/certificate-request.ts';
import { findXdsRoot } from '../identity/credential-files.ts';
import type { GceToken } from '../identity/gce-token.ts';
import { type IdentityPlan, planIdentity, startMachineToken } from '../identity/identity-plan.ts';
import { explainSystemError } from '../failure-text.ts';
import { AgentLogger } from '../log.ts';
import { isSocketServed, UnixListener } from '../unix-listener.ts';
import { buildGrpcBootstrap } from '../xds/grpc-bootstrap.ts';
import { writeBootstrap } from './bootstrap-file.ts';
import type { PreparedProxy } from './prepared-proxy.ts';
import { buildProxyArguments } from './proxy-arguments.ts';
import { ProxyProcess } from './proxy-process.ts';
import type { AgentServices } from './services.ts';
import { Supervisor } from './supervisor.ts';

const log = new AgentLogger('default');

const credentialSocketPath = './var/run/secrets/credential-uds/socket';
const defaultTerminationDrainMs = 5000;

export type AgentOptions = {
  readonly type: string;
  readonly nodeId: string;
  readonly domain: string;
  readonly addresses: readonly string[];
  readonly environment: Environment;
  readonly proxyConfig: ProxyConfig;
  readonly podLabels: StringMap | null;
  readonly podAnnotations: StringMap | null;
  readonly logAsJson: boolean;
  readonly proxyLogLevel: string;
  readonly proxyComponentLogLevel: string;
  readonly outlierLogPath: string;
  readonly stsPort: number;
  readonly profiling: boolean;
  readonly preparedProxy: PreparedProxy | null;
};

export class Agent {
  readonly #options: AgentOptions;
  readonly #stopping = new AbortController();
  readonly #isV6: boolean;
  #services: AgentServices | null = null;
  #machineToken: GceToken | null = null;
  #supervisor: Supervisor | null = null;
  /** `/quitquitquit` may come before the proxy is started. */
  #skipsDrain = false;

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#isV6 = addressFamily(options.addresses) === 'v6';
  }

  /** Resolves when the proxy has ended; rejects if a part cannot start. */
  async run(): Promise<void> {
    const { environment, proxyConfig } = this.#options;
    const plan = await planIdentity(environment);
    if (!plan.fromFiles && !plan.servesOnlyFiles) prepareKeyPair(environment);
    this.#machineToken = await startMachineToken(environment);
    const secrets = environment.disableEnvoy ? null : await UnixListener.open(plan.socketPath);
    const discovery = await UnixListener.open(join(proxyConfig.configPath, 'XDS'));
    const node = await this.#describeNode(plan);
    this.#writeGrpcBootstrap(node);
    // Without a root certificate no connection to istiod will ever work: say so before the proxy waits for one.
    if (proxyConfig.controlPlaneAuthPolicy === 'MUTUAL_TLS') findXdsRoot(environment, proxyConfig);
    const stopped = new Promise<void>(resolve =>
      this.#stopping.signal.addEventListener('abort', () => resolve(), { once: true }),
    );
    if (environment.disableEnvoy) this.#options.preparedProxy?.discard();
    else this.#supervisor = this.#createSupervisor(this.#prepareProxy(node));
    if (this.#skipsDrain) this.#supervisor?.skipDrain();
    const ended = this.#supervisor === null ? stopped : this.#supervisor.run(this.#stopping.signal);
    try {
      await this.#startServices(plan, { secrets, discovery });
    } catch (error) {
      this.#supervisor?.abort();
      throw error;
    }
    await ended;
  }

  /** Ends the proxy after draining; `run` then resolves. */
  stop(reason: string): void {
    log.info(`Agent stopping: ${reason}`);
    this.#stopping.abort();
  }

  async close(): Promise<void> {
    this.#machineToken?.close();
    await this.#services?.close();
  }

  async #startServices(plan: IdentityPlan, sockets: AgentServices['options']['sockets']): Promise<void> {
    const { AgentServices } = await import('./services.ts');
    const services = new AgentServices({
      agent: this.#options,
      isV6: this.#isV6,
      plan,
      sockets,
      stopping: this.#stopping.signal,
      onQuit: () => this.#quit(),
      onDrain: () => void this.#supervisor?.drainNow(),
    });
    this.#services = services;
    await services.start();
  }

  get #localhost(): string {
    return this.#isV6 ? '::1' : '127.0.0.1';
  }

  #quit(): void {
    this.#skipsDrain = true;
    this.#supervisor?.skipDrain();
    this.stop('/quitquitquit called');
  }

  async #describeNode(plan: IdentityPlan): Promise<Node> {
    const { environment, proxyConfig, addresses } = this.#options;
    const credentialSocketExists = await isSocketServed(credentialSocketPath);
    if (credentialSocketExists) log.info('Credential SDS socket found');
    const host = proxyConfig.discoveryAddress.split(':')[0];
    const pilotSan = host === 'localhost' ? 'istiod.istio-system.svc' : host;
    const pilotSubjectAltNames = proxyConfig.controlPlaneAuthPolicy === 'MUTUAL_TLS' ? [pilotSan] : [];
    log.info(`Pilot SAN: [${pilotSubjectAltNames.join(' ')}]`);
    return buildNode({
      id: this.#options.nodeId,
      environment,
      proxyConfig,
      addresses,
      podLabels: this.#options.podLabels,
      podAnnotations: this.#options.podAnnotations,
      pilotSubjectAltNames,
      stsPort: this.#options.stsPort,
      outlierLogPath: this.#options.outlierLogPath,
      credentialSocketExists,
      servesOnlyFiles: plan.servesOnlyFiles,
      platform: await discoverPlatform(environment),
    });
  }

  #writeGrpcBootstrap(node: Node): void {
    const { environment, proxyConfig } = this.#options;
    const path = environment.grpcBootstrap;
    if (path === '') return;
    const bootstrap = buildGrpcBootstrap(node, join(proxyConfig.configPath, 'XDS'), environment.outputCertificates);
    try {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      writeFileSync(path, JSON.stringify(bootstrap, null, 2), { mode: 0o644 });
    } catch (error) {
      throw explainSystemError(`write gRPC's bootstrap file ${path}`, error);
    }
  }

  #prepareProxy(node: Node): () => ProxyProcess {
    const { environment, proxyConfig, addresses, logAsJson } = this.#options;
    const family = addressFamily(addresses);
    const firstIsV6 = isIP(addresses[0] ?? '') === 6;
    const configPath = writeBootstrap({ node, proxyConfig, environment, family, firstIsV6, logAsJson });
    const args = buildProxyArguments({
      configPath,
      proxyConfig,
      environment,
      family,
      logLevel: this.#options.proxyLogLevel,
      componentLogLevel: this.#options.proxyComponentLogLevel,
    });
    return () =>
      new ProxyProcess({
        binaryPath: proxyConfig.binaryPath,
        arguments: args,
        variables: environment.variables,
        prepared: this.#options.preparedProxy,
        dropsRoot: process.getuid?.() === 0 && environment.dnsAddress.endsWith(':53'),
      });
  }

  #createSupervisor(startProxy: () => ProxyProcess): Supervisor {
    const { environment, proxyConfig, type } = this.#options;
    return new Supervisor({
      startProxy,
      localhost: this.#localhost,
      adminPort: proxyConfig.proxyAdminPort,
      inboundOnly: type === 'sidecar',
      terminationDrainMs: durationMs(proxyConfig.terminationDrainDuration, defaultTerminationDrainMs),
      environment,
    });
  }
}
