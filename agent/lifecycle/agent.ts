/**
 * The agent's composition root: starts identity, discovery, status and the proxy in the order in which they need each other.
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
import { durationMs, type ProxyConfig } from '../config/proxy-config.ts';
import { DnsServer } from '../dns/dns-server.ts';
import { AgentIdentity } from '../identity/agent-identity.ts';
import { AgentLogger } from '../log.ts';
import { StatusServer } from '../status/status-server.ts';
import { parseAppProbes } from '../status/app-probe-config.ts';
import { createProxyCheck, type ReadinessCheck } from '../status/readiness.ts';
import { parseScrapeTargets } from '../status/scrape-config.ts';
import { isSocketServed } from '../unix-socket.ts';
import { buildGrpcBootstrap } from '../xds/grpc-bootstrap.ts';
import { openIstiodChannel } from '../xds/istiod-channel.ts';
import { AdsRelay, type ResourceHandler } from '../xds/relay.ts';
import { findXdsRoot } from '../identity/istiod-credentials.ts';
import { writeBootstrap } from './bootstrap-file.ts';
import { buildProxyArguments } from './proxy-arguments.ts';
import { ProxyProcess } from './proxy-process.ts';
import { Supervisor } from './supervisor.ts';

const log = new AgentLogger('default');
const xdsLog = new AgentLogger('xdsproxy');

const credentialSocketPath = './var/run/secrets/credential-uds/socket';
const nameTableType = 'type.googleapis.com/istio.networking.nds.v1.NameTable';
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
};

export class Agent {
  readonly #options: AgentOptions;
  readonly #stopping = new AbortController();
  readonly #isV6: boolean;
  #status: StatusServer | null = null;
  #identity: AgentIdentity | null = null;
  #relay: AdsRelay | null = null;
  #supervisor: Supervisor | null = null;
  #dns: DnsServer | null = null;
  /** `/quitquitquit` may come before the proxy is started. */
  #skipsDrain = false;

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#isV6 = addressFamily(options.addresses) === 'v6';
  }

  /** Resolves when the proxy has ended; rejects if a part cannot start. */
  async run(): Promise<void> {
    const { environment, proxyConfig } = this.#options;
    if (this.#statusPort > 0) await this.#startStatus();
    await this.#startDns();
    this.#identity = await AgentIdentity.start(environment, proxyConfig);
    await this.#startRelay();
    const node = await this.#describeNode();
    this.#writeGrpcBootstrap(node);
    // Without a root certificate no connection to istiod will ever work: say so before the proxy waits for one.
    if (proxyConfig.controlPlaneAuthPolicy === 'MUTUAL_TLS') findXdsRoot(environment, proxyConfig);
    if (environment.disableEnvoy) {
      await new Promise<void>(resolve => this.#stopping.signal.addEventListener('abort', () => resolve(), { once: true }));
      return;
    }
    this.#supervisor = this.#createSupervisor(this.#prepareProxy(node));
    if (this.#skipsDrain) this.#supervisor.skipDrain();
    await this.#supervisor.run(this.#stopping.signal);
  }

  /** Ends the proxy after draining; `run` then resolves. */
  stop(reason: string): void {
    log.info(`Agent stopping: ${reason}`);
    this.#stopping.abort();
  }

  async close(): Promise<void> {
    this.#relay?.close();
    this.#dns?.close();
    this.#identity?.close();
    await this.#status?.close();
  }

  get #statusPort(): number {
    return this.#options.proxyConfig.statusPort ?? 0;
  }

  get #localhost(): string {
    return this.#isV6 ? '::1' : '127.0.0.1';
  }

  async #startStatus(): Promise<void> {
    const { environment, proxyConfig, type } = this.#options;
    const podIsV6 = this.#isV6 || (isIP(environment.instanceIp) === 6 && !/^fe[89ab]/i.test(environment.instanceIp));
    const checks: ReadinessCheck[] = environment.disableEnvoy
      ? []
      : [createProxyCheck(podIsV6 ? '::1' : '127.0.0.1', proxyConfig.proxyAdminPort, this.#stopping.signal)];
    if (this.#servesDns) checks.push(async () => this.#checkDns());
    this.#status = new StatusServer({
      port: this.#statusPort,
      checks,
      probes: parseAppProbes(environment.kubeAppProbers),
      probeTarget: {
        destination: environment.legacyLocalhostProbes ? 'localhost' : environment.instanceIp,
        sourceAddress: podIsV6 ? '::6' : '127.0.0.6',
        statusPort: this.#statusPort,
      },
      metrics: {
        proxyPort: environment.disableEnvoy || !environment.mergeEnvoyStats ? null : environment.envoyPrometheusPort,
        // A gateway's port is exposed by its Service: application metrics stay out of it.
        targets: type === 'sidecar' ? parseScrapeTargets(environment.prometheusAnnotations, this.#statusPort) : [],
      },
      metricsLocalhostOnly: environment.metricsLocalhostOnly,
      profiling: this.#options.profiling,
      fetchNameTable: () => this.#dns?.describe() ?? null,
      onQuit: () => this.#quit(),
      onDrain: () => void this.#supervisor?.drainNow(),
    });
    await this.#status.listen();
  }

  /** Gateways capture no DNS, but may serve it. */
  get #servesDns(): boolean {
    const { environment, type } = this.#options;
    return (environment.dnsCapture && type === 'sidecar') || environment.dnsServer;
  }

  #checkDns(): string | null {
    return this.#dns?.ready ? null : 'istio DNS capture is turned ON and DNS lookup table is not ready yet';
  }

  async #startDns(): Promise<void> {
    if (!this.#servesDns) return;
    const { environment, domain } = this.#options;
    this.#dns = new DnsServer({
      address: environment.dnsAddress,
      namespace: environment.podNamespace,
      domain,
      // Who serves on port 53 itself has put this pod's resolv.conf aside.
      resolvConf: environment.dnsAddress.endsWith(':53') ? '/var/lib/istio/resolv.conf' : '/etc/resolv.conf',
      parallel: environment.dnsForwardParallel,
      timeoutMs: environment.dnsForwardTimeoutMs,
    });
    await this.#dns.listen();
  }

  #quit(): void {
    this.#skipsDrain = true;
    this.#supervisor?.skipDrain();
    this.stop('/quitquitquit called');
  }

  async #startRelay(): Promise<void> {
    const { environment, proxyConfig } = this.#options;
    const address = proxyConfig.discoveryAddress;
    xdsLog.info(`Initializing with upstream address "${address}" and cluster "${environment.clusterId}"`);
    const dns = this.#dns;
    const handlers = new Map<string, ResourceHandler>();
    if (dns !== null) handlers.set(nameTableType, resource => dns.update(resource));
    this.#relay = new AdsRelay({
      socketPath: join(proxyConfig.configPath, 'XDS'),
      maxStreams: environment.maxStreams,
      openChannel: () => openIstiodChannel(environment, proxyConfig),
      istiodAddress: address,
      handlers,
      forwardsEverything: environment.variables.ISTIO_META_GENERATOR === 'grpc',
    });
    await this.#relay.listen();
  }

  async #describeNode(): Promise<Node> {
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
      servesOnlyFiles: this.#identity?.servesOnlyFiles ?? false,
    });
  }

  #writeGrpcBootstrap(node: Node): void {
    const { environment, proxyConfig } = this.#options;
    const path = environment.grpcBootstrap;
    if (path === '') return;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const bootstrap = buildGrpcBootstrap(node, join(proxyConfig.configPath, 'XDS'), environment.outputCertificates);
    writeFileSync(path, JSON.stringify(bootstrap, null, 2), { mode: 0o644 });
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
