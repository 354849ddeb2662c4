/**
 * `npm start`: a mesh in one terminal, without root, Kubernetes or Go. An embedded control plane, a client sidecar and a server
 * sidecar (agent and proxy each), three applications behind the latter, mutual TLS in between.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { findFreePort } from '../test/support/proxy-process.ts';
import { startApplication } from './application.ts';
import { CertificateAuthority } from './certificate-authority.ts';
import { startControlPlane } from './control-plane.ts';
import { clientAccount, type Endpoint, type Service, serverAccount } from './mesh-config.ts';
import { buildClientResources, buildServerResources } from './resources.ts';
import { type Sidecar, startSidecar } from './sidecar.ts';
import { Traffic } from './traffic.ts';

const usage = `npm start -- [options]

Starts a control plane, two services with three endpoints, and a full sidecar (agent and proxy) on each side, with mutual TLS
between them; drives a little traffic and shows what went where, until Ctrl-C.

  --rate N       requests per second (20)
  --seconds N    end by itself after this time (0: run until Ctrl-C)
  --keep         keep the working folder with bootstrap files, sockets and logs
  --help         this text`;

const readyTimeoutMs = 30_000;

async function planServices(): Promise<Service[]> {
  const endpoint = async (version: string, delayMs: number): Promise<Endpoint> => ({
    version,
    delayMs,
    appPort: await findFreePort(),
    sidecarPort: await findFreePort(),
  });
  return [
    { name: 'catalog', outboundPort: await findFreePort(), endpoints: [await endpoint('v1', 2), await endpoint('v2', 40)] },
    { name: 'price', outboundPort: await findFreePort(), endpoints: [await endpoint('v1', 5)] },
  ];
}

async function waitUntilReady(sidecars: readonly Sidecar[]): Promise<void> {
  const deadline = Date.now() + readyTimeoutMs;
  for (const sidecar of sidecars) {
    while (!(await sidecar.isReady())) {
      const ended = sidecar.process.exitCode !== null;
      if (ended || Date.now() > deadline) {
        const tail = readFileSync(sidecar.logPath, 'utf8').split('\n').slice(-20).join('\n');
        throw new Error(`the ${sidecar.name} sidecar ${ended ? 'ended' : 'is not ready'}; the end of its log:\n${tail}`);
      }
      await wait(50);
    }
  }
}

function describe(sidecars: readonly Sidecar[], services: readonly Service[]): string {
  const lines = ['', 'Ready. Look around while it runs:'];
  for (const { name, outboundPort } of services)
    lines.push(`  service ${name.padEnd(8)}  curl http://127.0.0.1:${outboundPort}/`);
  for (const { name, ports, logPath } of sidecars) {
    lines.push(`  sidecar ${name}`);
    lines.push(`    admin    http://127.0.0.1:${ports.admin}/`);
    lines.push(`    health   http://127.0.0.1:${ports.health}/healthz/ready`);
    lines.push(`    metrics  http://127.0.0.1:${ports.status}/stats/prometheus`);
    lines.push(`    log      ${logPath}`);
  }
  return lines.concat('').join('\n');
}

function renderTallies(traffic: Traffic): string {
  const lines = ['service   version  requests   mean ms  caller, as the server sidecar verified it'];
  for (const { service, version, requests, totalMs, caller } of traffic.tallies.values()) {
    const mean = requests === 0 ? '-' : (totalMs / requests).toFixed(1);
    lines.push(`${service.padEnd(9)} ${version.padEnd(7)} ${String(requests).padStart(9)} ${mean.padStart(9)}  ${caller}`);
  }
  for (const [reason, count] of traffic.failures) lines.push(`failed ${count} times: ${reason}`);
  return lines.join('\n');
}

/** Redraws in place on a terminal; elsewhere one table every five seconds. */
async function showTraffic(traffic: Traffic, stopped: Promise<void>, seconds: number): Promise<void> {
  const terminal = process.stdout.isTTY;
  let done = false;
  stopped.then(() => {
    done = true;
  });
  const deadline = seconds > 0 ? Date.now() + seconds * 1000 : Number.POSITIVE_INFINITY;
  let height = 0;
  while (!done && Date.now() < deadline) {
    await Promise.race([stopped, wait(Math.min(terminal ? 500 : 5000, deadline - Date.now()))]);
    const table = renderTallies(traffic);
    process.stdout.write(`${terminal && height > 0 ? `\x1b[${height}A\x1b[0J` : ''}${table}\n`);
    height = table.split('\n').length;
  }
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      rate: { type: 'string', default: '20' },
      seconds: { type: 'string', default: '0' },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(usage);
    return 0;
  }
  const [rate, seconds] = [Number(values.rate), Number(values.seconds)];
  if (!(rate > 0) || !(seconds >= 0))
    throw new Error(`--rate and --seconds take a number, got '${values.rate}' and '${values.seconds}'`);
  const stopped = new Promise<void>(resolve => process.on('SIGINT', resolve).on('SIGTERM', resolve));
  const folder = mkdtempSync(join(tmpdir(), 'sidecar-demo-'));
  const cleanups: (() => unknown)[] = [];
  try {
    const services = await planServices();
    for (const service of services) {
      for (const endpoint of service.endpoints) {
        const application = await startApplication(service, endpoint);
        cleanups.push(() => application.close());
      }
    }
    const sidecars = await startMesh(folder, services, cleanups);
    console.log(describe(sidecars, services));
    const traffic = new Traffic(services, rate);
    cleanups.push(() => traffic.stop());
    await showTraffic(traffic, stopped, seconds);
    return traffic.failures.size === 0 && traffic.requests > 0 ? 0 : 1;
  } finally {
    console.log('Stopping ...');
    await Promise.all(cleanups.reverse().map(cleanup => cleanup()));
    if (values.keep) console.log(`Kept ${folder}`);
    else rmSync(folder, { recursive: true, force: true });
  }
}

async function startMesh(folder: string, services: readonly Service[], cleanups: (() => unknown)[]): Promise<Sidecar[]> {
  const authority = await CertificateAuthority.create({ name: 'sidecar demo' });
  const rootCertificatePath = join(folder, 'root-cert.pem');
  writeFileSync(rootCertificatePath, authority.rootCertificate);
  const byName = { client: buildClientResources(services), server: buildServerResources(services) };
  const controlPlane = await startControlPlane({
    authority,
    certificateTtlMs: 3600_000,
    resourcesFor: nodeId => byName[nodeId.includes('~client.') ? 'client' : 'server'],
    onReject: (nodeId, message) => console.error(`${nodeId} rejected a resource: ${message}`),
  });
  cleanups.push(() => controlPlane.stop());
  console.log(`Control plane on 127.0.0.1:${controlPlane.port}; starting two sidecars ...`);
  const shared = { folder, rootCertificatePath, controlPlanePort: controlPlane.port };
  const sidecars = await Promise.all([
    startSidecar({ ...shared, name: 'client', account: clientAccount }),
    startSidecar({ ...shared, name: 'server', account: serverAccount }),
  ]);
  for (const sidecar of sidecars) cleanups.push(() => sidecar.stop());
  await waitUntilReady(sidecars);
  return sidecars;
}

process.exit(
  await main().catch(error => {
    console.error(`demo: ${error.message}`);
    return 1;
  }),
);
