/** Everything in the agent that is not the proxy: identity, discovery, DNS, status. Loaded while the proxy starts. */
import { existsSync } from 'node:fs';
import { isIP } from 'node:net';
import { idleCollection } from '../../common/idle-collection.ts';
import { ports } from '../../common/ports.ts';
import type { DnsServer, DnsServerOptions } from '../dns/dns-server.ts';
import { AgentIdentity } from '../identity/agent-identity.ts';
import type { IdentityPlan } from '../identity/identity-plan.ts';
import { AgentLogger } from '../log.ts';
import { IstiodDebugServer } from '../status/istiod-debug.ts';
import { parseAppProbes } from '../status/app-probe-config.ts';
import { createGrpcCheck, createProxyCheck, type ReadinessCheck } from '../status/readiness.ts';
import { parseScrapeTargets } from '../status/scrape-config.ts';
import type { StatusServer } from '../status/status-server.ts';
import type { WorkloadHealth } from '../status/workload-health.ts';
import type { UnixListener } from '../unix-listener.ts';
import { requestDebugPage } from '../xds/debug-request.ts';
import { openIstiodChannel } from '../xds/istiod-channel.ts';
import { AdsRelay, type ResourceHandler } from '../xds/relay.ts';
import { readStringFields } from '../xds/wire.ts';
import type { AgentOptions } from './agent.ts';
import { OrphanReaper } from './orphan-reaper.ts';

const xdsLog = new AgentLogger('xdsproxy');
const dnsLog = new AgentLogger('dns');

const nameTableType = 'type.googleapis.com/istio.networking.nds.v1.NameTable';

const proxyConfigType = 'type.googleapis.com/istio.mesh.v1alpha1.ProxyConfig';
/** `ca_certificates_pem`: all that the agent takes from it. */
const caCertificatesField = 34;

export type ServicesOptions = {
  readonly agent: AgentOptions;
  readonly isV6: boolean;
  readonly plan: IdentityPlan;
  /** Already listening; the one of secrets is null without a proxy. */
  readonly sockets: { readonly secrets: UnixListener | null; readonly discovery: UnixListener };
  /** Aborted when the proxy is to end. */
  readonly stopping: AbortSignal;
  readonly onQuit: () => void;
  readonly onDrain: () => void;
};

export class AgentServices {
  readonly options: ServicesOptions;
  #status: StatusServer | null = null;
  #identity: AgentIdentity | null = null;
  #relay: AdsRelay | null = null;
  #dns: DnsServer | null = null;
  #health: WorkloadHealth | null = null;
  #debug: IstiodDebugServer | null = null;
  #reaper: OrphanReaper | null = null;

  constructor(options: ServicesOptions) {
    this.options = options;
  }

  /** What the proxy waits for comes first. Rejects if a part cannot start. */
  async start(): Promise<void> {
    const { agent, plan, sockets } = this.options;
    this.#identity = new AgentIdentity({ ...agent, plan, listener: sockets.secrets });
    await this.#startDns();
    this.#startRelay();
    if (this.#statusPort > 0) await this.#startStatus();
    this.#startDebug();
    if (process.pid === 1) this.#reaper = new OrphanReaper();
    await this.#startHealth();
    idleCollection.schedule();
  }

  async close(): Promise<void> {
    this.#health?.close();
    this.#reaper?.close();
    this.#debug?.close();
    this.#relay?.close();
    this.#dns?.close();
    this.#identity?.close();
    await this.#status?.close();
  }

  get #podIsV6(): boolean {
    const { environment } = this.options.agent;
    return this.options.isV6 || (isIP(environment.instanceIp) === 6 && !/^fe[89ab]/i.test(environment.instanceIp));
  }

  #createProxyCheck(): ReadinessCheck {
    const { proxyConfig } = this.options.agent;
    return createProxyCheck(this.#podIsV6 ? '::1' : '127.0.0.1', proxyConfig.proxyAdminPort, this.options.stopping);
  }

  #startDebug(): void {
    const { environment, proxyConfig, nodeId } = this.options.agent;
    this.#debug = new IstiodDebugServer({
      host: this.#podIsV6 ? '::1' : '127.0.0.1',
      port: ports.agentDebug,
      fetchPage: page => requestDebugPage(() => openIstiodChannel(environment, proxyConfig), nodeId, page),
    });
  }

  async #startHealth(): Promise<void> {
    const { environment, proxyConfig, addresses } = this.options.agent;
    const probe = proxyConfig.readinessProbe;
    if (probe === undefined) return;
    const { WorkloadHealth } = await import('../status/workload-health.ts');
    this.#health = new WorkloadHealth({
      probe,
      defaultHost: environment.legacyLocalhostProbes ? 'localhost' : (addresses[0] ?? 'localhost'),
      sourceAddress: this.#podIsV6 ? '::6' : '127.0.0.6',
      proxyCheck: environment.disableEnvoy ? null : this.#createProxyCheck(),
      onChange: error => this.#relay?.reportHealth(error),
    });
  }

  get #statusPort(): number {
    return this.options.agent.proxyConfig.statusPort ?? 0;
  }

  #startRelay(): void {
    const { environment, proxyConfig } = this.options.agent;
    const address = proxyConfig.discoveryAddress;
    xdsLog.info(`Initializing with upstream address "${address}" and cluster "${environment.clusterId}"`);
    const dns = this.#dns;
    const handlers = new Map<string, ResourceHandler>();
    if (dns !== null) handlers.set(nameTableType, resource => dns.update(resource));
    const secrets = this.#identity?.secrets;
    if (environment.proxyConfigXds && secrets !== undefined) {
      handlers.set(proxyConfigType, resource => secrets.updateTrustBundle(readStringFields(resource, caCertificatesField)));
    }
    this.#relay = new AdsRelay({
      listener: this.options.sockets.discovery,
      maxStreams: environment.maxStreams,
      openChannel: () => openIstiodChannel(environment, proxyConfig),
      istiodAddress: address,
      handlers,
      forwardsEverything: environment.variables.ISTIO_META_GENERATOR === 'grpc',
    });
    this.#relay.serve();
  }

  async #startStatus(): Promise<void> {
    const { environment, type } = this.options.agent;
    const checks: ReadinessCheck[] = environment.disableEnvoy ? [] : [this.#createProxyCheck()];
    if (environment.grpcBootstrap !== '') checks.push(createGrpcCheck(environment.outputCertificates));
    if (this.#servesDns) checks.push(async () => this.#checkDns());
    const { StatusServer } = await import('../status/status-server.ts');
    this.#status = new StatusServer({
      port: this.#statusPort,
      checks,
      probes: parseAppProbes(environment.kubeAppProbers),
      probeTarget: {
        destination: environment.legacyLocalhostProbes ? 'localhost' : environment.instanceIp,
        sourceAddress: this.#podIsV6 ? '::6' : '127.0.0.6',
        statusPort: this.#statusPort,
        http2: environment.http2Probing,
        keepsConnections: environment.probeKeepalive,
      },
      metrics: {
        proxyPort: environment.disableEnvoy || !environment.mergeEnvoyStats ? null : environment.envoyPrometheusPort,
        // A gateway's port is exposed by its Service: application metrics stay out of it.
        targets: type === 'sidecar' ? parseScrapeTargets(environment.prometheusAnnotations, this.#statusPort) : [],
      },
      metricsLocalhostOnly: environment.metricsLocalhostOnly,
      profiling: this.options.agent.profiling,
      fetchNameTable: () => this.#dns?.describe() ?? null,
      onQuit: this.options.onQuit,
      onDrain: this.options.onDrain,
    });
    await this.#status.listen();
  }

  /** Gateways capture no DNS, but may serve it. */
  get #servesDns(): boolean {
    const { environment, type } = this.options.agent;
    return (environment.dnsCapture && type === 'sidecar') || environment.dnsServer;
  }

  #checkDns(): string | null {
    return this.#dns?.ready ? null : 'istio DNS capture is turned ON and DNS lookup table is not ready yet';
  }

  async #startDns(): Promise<void> {
    if (!this.#servesDns) return;
    const { environment, domain } = this.options.agent;
    const { DnsServer } = await import('../dns/dns-server.ts');
    this.#dns = new DnsServer({
      ...chooseDnsAddress(environment.dnsAddress),
      namespace: environment.podNamespace,
      domain,
      parallel: environment.dnsForwardParallel,
      timeoutMs: environment.dnsForwardTimeoutMs,
    });
    await this.#dns.listen();
  }
}

const ownResolvConf = '/etc/resolv.conf';
/** Of a machine whose resolv.conf names this agent. */
const savedResolvConf = '/var/lib/istio/resolv.conf';

function chooseDnsAddress(address: string): Pick<DnsServerOptions, 'address' | 'resolvConf' | 'forwardsBeforeTable'> {
  if (!address.endsWith(':53')) return { address, resolvConf: ownResolvConf };
  if (process.getuid?.() !== 0) {
    dnsLog.error(`DNS address ${address} needs root: serving on localhost:${ports.dns} instead`);
    return { address: `localhost:${ports.dns}`, resolvConf: ownResolvConf };
  }
  return { address, resolvConf: existsSync(savedResolvConf) ? savedResolvConf : ownResolvConf, forwardsBeforeTable: true };
}
