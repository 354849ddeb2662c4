/** One full sidecar as a child process: the agent, which starts the proxy. Everything it writes stays in its own folder. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findFreePort } from '../test/support/proxy-process.ts';
import { namespace, trustDomain } from './mesh-config.ts';

export interface SidecarPorts {
  readonly admin: number;
  readonly status: number;
  readonly health: number;
  readonly metrics: number;
}

export interface Sidecar {
  readonly name: string;
  readonly ports: SidecarPorts;
  readonly process: ChildProcess;
  readonly logPath: string;
  readonly exited: Promise<number | null>;
  isReady(): Promise<boolean>;
  stop(): Promise<void>;
}

export interface SidecarOptions {
  readonly name: string;
  readonly account: string;
  /** The demo's folder; the sidecar gets one inside. */
  readonly folder: string;
  readonly controlPlanePort: number;
  readonly rootCertificatePath: string;
}

const bin = join(import.meta.dirname, '..', 'bin');

function buildEnvironment(
  { name, account, controlPlanePort, rootCertificatePath }: SidecarOptions,
  ports: SidecarPorts,
): NodeJS.ProcessEnv {
  const address = `localhost:${controlPlanePort}`;
  const proxyConfig = {
    discoveryAddress: address,
    binaryPath: join(bin, 'sidecar-proxy'),
    statusPort: ports.status,
    proxyAdminPort: ports.admin,
    concurrency: 1,
    drainDuration: '1s',
    terminationDrainDuration: '1s',
  };
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
    INSTANCE_IP: '127.0.0.1',
    SERVICE_ACCOUNT: account,
    ECC_SIGNATURE_ALGORITHM: 'ECDSA',
    CLOUD_PLATFORM: 'none',
    ENVOY_STATUS_PORT: String(ports.health),
    ENVOY_PROMETHEUS_PORT: String(ports.metrics),
    ISTIO_META_CLUSTER_ID: 'Kubernetes',
    ISTIO_META_INTERCEPTION_MODE: 'NONE',
    ISTIO_META_WORKLOAD_NAME: name,
    ISTIO_META_OWNER: `kubernetes://apis/apps/v1/namespaces/${namespace}/deployments/${name}`,
    ISTIO_METAJSON_LABELS: JSON.stringify({
      LABELS: { app: name, 'service.istio.io/canonical-name': name, 'service.istio.io/canonical-revision': 'v1' },
    }),
  };
}

export async function startSidecar(options: SidecarOptions): Promise<Sidecar> {
  const folder = join(options.folder, options.name);
  for (const path of [
    'etc/istio/proxy',
    'etc/istio/pod',
    'var/run/secrets/tokens',
    'var/run/secrets/workload-spiffe-uds',
    'var/run/secrets/credential-uds',
    'var/lib/istio/data',
  ]) {
    mkdirSync(join(folder, path), { recursive: true });
  }
  writeFileSync(join(folder, 'var/run/secrets/tokens/istio-token'), `demo-token-of-${options.account}`);
  const ports = {
    admin: await findFreePort(),
    status: await findFreePort(),
    health: await findFreePort(),
    metrics: await findFreePort(),
  };
  const logPath = join(folder, 'sidecar.log');
  const log = openSync(logPath, 'a');
  const args = [
    'proxy',
    'sidecar',
    '--domain',
    `${namespace}.svc.cluster.local`,
    '--proxyLogLevel=warning',
    '--log_output_level=default:info',
  ];
  const child = spawn(join(bin, 'pilot-agent'), args, {
    cwd: folder,
    env: buildEnvironment(options, ports),
    stdio: ['ignore', log, log],
  });
  const exited = new Promise<number | null>(resolve => child.once('exit', resolve));
  return {
    name: options.name,
    ports,
    process: child,
    logPath,
    exited,
    isReady: async () => (await getStatus(ports.health)) === 200,
    async stop() {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 8000);
      await exited;
      clearTimeout(timer);
    },
  };
}

async function getStatus(port: number): Promise<number> {
  try {
    return (await fetch(`http://127.0.0.1:${port}/healthz/ready`)).status;
  } catch {
    return 0;
  }
}
