/** Brings the demo's mesh up: sites, control plane, sidecars, workloads. What it starts goes on a list of clean-ups. */
import type { ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findFreePort } from '../test/support/proxy-process.ts';
import { CertificateAuthority } from './certificate-authority.ts';
import { startControlPlane } from './control-plane.ts';
import { clientAccount, type Endpoint, type Service, serverAccount } from './mesh-config.ts';
import { buildServerResources } from './resources/inbound.ts';
import { buildClientResources } from './resources/outbound.ts';
import { type Sidecar, spawnAt, startSidecar } from './sidecar.ts';
import { createBridge, createLocalSite, createNamespaceSite, type Site } from './site.ts';
import type { Report } from './workload.ts';

export interface MeshOptions {
  readonly folder: string;
  /** Network namespaces and redirection instead of ports on this host. */
  readonly isRedirected: boolean;
  readonly requestsPerSecond: number;
  readonly cleanups: (() => unknown)[];
}

export interface Mesh {
  readonly services: readonly Service[];
  readonly sidecars: readonly Sidecar[];
  /** Begins to call the services. */
  startTraffic(onReport: (report: Report) => void): void;
}

const readyTimeoutSeconds = 30;

async function planServices({ address }: Site, isRedirected: boolean): Promise<Service[]> {
  let port = 8080;
  const endpoint = async (version: string, delayMs: number): Promise<Endpoint> => {
    const appPort = isRedirected ? port++ : await findFreePort();
    return { version, delayMs, appPort, address, port: isRedirected ? appPort : await findFreePort() };
  };
  const place = async (virtualAddress: string) =>
    isRedirected ? { address: virtualAddress, port: 80 } : { address: '127.0.0.1', port: await findFreePort() };
  return [
    { name: 'catalog', ...(await place('10.250.1.1')), endpoints: [await endpoint('v1', 2), await endpoint('v2', 120)] },
    { name: 'price', ...(await place('10.250.1.2')), endpoints: [await endpoint('v1', 5)] },
  ];
}

function startWorkload(site: Site, args: readonly string[], cleanups: MeshOptions['cleanups']): ChildProcess {
  const command = [process.execPath, join(import.meta.dirname, 'workload.ts'), ...args];
  const child = spawnAt(site.application, command, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  cleanups.push(() => child.kill());
  return child;
}

async function createSites({
  isRedirected,
  cleanups,
}: MeshOptions): Promise<{ client: Site; server: Site; controlPlane: string }> {
  if (!isRedirected)
    return { client: await createLocalSite('client'), server: await createLocalSite('server'), controlPlane: '127.0.0.1' };
  const bridge = createBridge();
  cleanups.push(() => bridge.remove());
  const create = (name: string, index: number): Site => {
    const site = createNamespaceSite(name, index);
    cleanups.push(() => site.remove());
    return site;
  };
  return { client: create('client', 0), server: create('server', 1), controlPlane: bridge.address };
}

export async function startMesh(options: MeshOptions): Promise<Mesh> {
  const { folder, isRedirected, cleanups } = options;
  const sites = await createSites(options).catch(error => {
    throw new Error(isRedirected ? `${error.message.trim()} (--no-redirect needs no namespaces)` : error.message);
  });
  const services = await planServices(sites.server, isRedirected);
  const servicesText = JSON.stringify(services);
  const applications = startWorkload(sites.server, ['server', servicesText], cleanups);
  await new Promise<void>((resolve, reject) => {
    applications.once('message', () => resolve());
    applications.once('exit', code => reject(new Error(`the applications ended with ${code}`)));
  });

  const authority = await CertificateAuthority.create({ name: 'sidecar demo' });
  const rootCertificatePath = join(folder, 'root-cert.pem');
  writeFileSync(rootCertificatePath, authority.rootCertificate);
  const resources = {
    client: buildClientResources(services, isRedirected),
    server: buildServerResources(services, isRedirected),
  };
  const controlPlane = await startControlPlane(sites.controlPlane, {
    authority,
    certificateTtlMs: 3600_000,
    resourcesFor: nodeId => resources[nodeId.includes('~client.') ? 'client' : 'server'],
    onReject: (nodeId, message) => console.error(`${nodeId} rejected a resource: ${message}`),
  });
  cleanups.push(() => controlPlane.stop());
  console.log(`Control plane on ${sites.controlPlane}:${controlPlane.port}; starting two sidecars ...`);
  const shared = { folder, rootCertificatePath, controlPlanePort: controlPlane.port };
  const sidecars = [
    startSidecar({ ...shared, site: sites.client, account: clientAccount }),
    startSidecar({ ...shared, site: sites.server, account: serverAccount }),
  ];
  for (const sidecar of sidecars) cleanups.push(() => sidecar.stop());
  await Promise.all(sidecars.map(sidecar => sidecar.waitUntilReady(readyTimeoutSeconds)));
  return {
    services,
    sidecars,
    startTraffic(onReport) {
      const client = startWorkload(sites.client, ['client', servicesText, String(options.requestsPerSecond)], cleanups);
      client.on('message', message => onReport(message as Report));
    },
  };
}
