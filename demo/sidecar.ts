/** One full sidecar as a child process: the agent, which starts the proxy. Everything it writes stays in its own folder. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { namespace, trustDomain } from './mesh-config.ts';
import { bin, type Site } from './site.ts';

export interface Sidecar {
  readonly site: Site;
  readonly process: ChildProcess;
  readonly logPath: string;
  /** @throws with the end of its log if it ends or is not ready within the time. */
  waitUntilReady(timeoutSeconds: number): Promise<void>;
  stop(): Promise<void>;
}

export interface SidecarOptions {
  readonly site: Site;
  readonly account: string;
  /** The demo's folder; the sidecar gets one inside. */
  readonly folder: string;
  readonly controlPlanePort: number;
  readonly rootCertificatePath: string;
}

const folders = [
  'etc/istio/proxy',
  'etc/istio/pod',
  'var/run/secrets/tokens',
  'var/run/secrets/workload-spiffe-uds',
  'var/run/secrets/credential-uds',
  'var/lib/istio/data',
];

function buildEnvironment({ site, account, controlPlanePort, rootCertificatePath }: SidecarOptions): NodeJS.ProcessEnv {
  const { name, ports } = site;
  const address = `${site.controlPlaneAddress}:${controlPlanePort}`;
  const proxyConfig = {
    discoveryAddress: address,
    binaryPath: join(bin, 'sidecar-proxy'),
    statusPort: ports.status,
    proxyAdminPort: ports.admin,
    concurrency: 1,
    drainDuration: '1s',
    terminationDrainDuration: '1s',
  };
  const labels = { app: name, 'service.istio.io/canonical-name': name, 'service.istio.io/canonical-revision': 'v1' };
  return {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    PROXY_CONFIG: JSON.stringify(proxyConfig),
    CA_ADDR: address,
    ISTIOD_SAN: 'istiod.istio-system.svc',
    XDS_ROOT_CA: rootCertificatePath,
    CA_ROOT_CA: rootCertificatePath,
    TRUST_DOMAIN: trustDomain,
    POD_NAME: name,
    POD_NAMESPACE: namespace,
    INSTANCE_IP: site.address,
    SERVICE_ACCOUNT: account,
    ECC_SIGNATURE_ALGORITHM: 'ECDSA',
    CLOUD_PLATFORM: 'none',
    ENVOY_STATUS_PORT: String(ports.health),
    ENVOY_PROMETHEUS_PORT: String(ports.metrics),
    ISTIO_META_CLUSTER_ID: 'Kubernetes',
    ISTIO_META_INTERCEPTION_MODE: site.interceptionMode,
    ISTIO_META_WORKLOAD_NAME: name,
    ISTIO_META_OWNER: `kubernetes://apis/apps/v1/namespaces/${namespace}/deployments/${name}`,
    ISTIO_METAJSON_LABELS: JSON.stringify({ LABELS: labels }),
  };
}

/** A command at a place. */
export function spawnAt(
  prefix: readonly string[],
  command: readonly string[],
  options: Parameters<typeof spawn>[2],
): ChildProcess {
  const [program, ...args] = [...prefix, ...command];
  return spawn(program, args, options);
}

export function startSidecar(options: SidecarOptions): Sidecar {
  const { site } = options;
  const folder = join(options.folder, site.name);
  for (const path of folders) mkdirSync(join(folder, path), { recursive: true });
  writeFileSync(join(folder, 'var/run/secrets/tokens/istio-token'), `demo-token-of-${options.account}`);
  const logPath = join(folder, 'sidecar.log');
  const log = openSync(logPath, 'a');
  const command = [
    join(bin, 'pilot-agent'),
    'proxy',
    'sidecar',
    '--domain',
    `${namespace}.svc.cluster.local`,
    '--proxyLogLevel=warning',
  ];
  const child = spawnAt(site.sidecar, command, { cwd: folder, env: buildEnvironment(options), stdio: ['ignore', log, log] });
  const exited = new Promise<void>(resolve => child.once('exit', () => resolve()));
  return {
    site,
    process: child,
    logPath,
    async waitUntilReady(timeoutSeconds) {
      const url = `http://127.0.0.1:${site.ports.health}/healthz/ready`;
      const wait = [join(bin, 'pilot-agent'), 'wait', `--timeoutSeconds=${timeoutSeconds}`, '--periodMillis=50', `--url=${url}`];
      const waiting = spawnAt(site.sidecar, wait, { stdio: 'ignore' });
      const ready = new Promise<boolean>(resolve => waiting.once('exit', code => resolve(code === 0)));
      if (await Promise.race([ready, exited.then(() => false)])) return;
      waiting.kill();
      const tail = readFileSync(logPath, 'utf8').split('\n').slice(-20).join('\n');
      throw new Error(
        `the ${site.name} sidecar ${child.exitCode === null ? 'is not ready' : 'ended'}; the end of its log:\n${tail}`,
      );
    },
    async stop() {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 8000);
      await exited;
      clearTimeout(timer);
    },
  };
}
