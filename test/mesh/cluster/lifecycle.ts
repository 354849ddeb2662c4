/** The whole cluster up, down, and its status. */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { makeCertificates } from './certificates.ts';
import { run, tryRun, waitFor } from './command.ts';
import { startControlPlane } from './control-plane.ts';
import { startDns } from './dns.ts';
import { hasImage } from './images.ts';
import { currentMode, installIstio, type Mode } from './istio.ts';
import { cache, images, nodeName, state } from './layout.ts';
import { checkPorts, listTasks, removeLeftovers } from './leftovers.ts';
import { createBridge, startContainerd, startNode, waitForNode } from './node.ts';
import { isRunning, logFile, stopProcess, tailLog } from './process.ts';
import { buildTools } from './tools.ts';

/** In the order in which they are stopped. */
const processes = ['kubelet', 'kube-proxy', 'coredns', 'scheduler', 'controllers', 'apiserver', 'etcd', 'containerd'];

export function isUp(): boolean {
  return isRunning('apiserver') && tryRun('kubectl', ['get', 'node', nodeName], { timeoutMs: 5000 }).code === 0;
}

/** Starts the cluster unless it runs, after removing what an earlier one left, and brings istiod into `mode`. */
export async function bringUp(mode: Mode): Promise<void> {
  buildTools();
  try {
    if (!isUp()) await startCluster();
    if (currentMode() === mode) return;
    console.log(`installing istiod in ${mode} mode`);
    await installIstio(mode);
  } catch (error) {
    printDiagnosis();
    throw error;
  }
}

async function startCluster(): Promise<void> {
  await takeDown();
  checkPorts();
  console.log('starting Kubernetes');
  for (const folder of ['pki', 'log', 'pid']) mkdirSync(join(state, folder), { recursive: true });
  createBridge();
  makeCertificates();
  await startControlPlane();
  await startContainerd();
  await startNode();
  startDns();
  await waitForNode();
}

/** What tells why the cluster does not come up: the ends of the logs, and what istiod's pod says. */
function printDiagnosis(): void {
  for (const name of processes.toReversed()) {
    if (existsSync(logFile(name))) console.log(`--- ${name} (${isRunning(name) ? 'running' : 'ended'})\n${tailLog(name)}`);
  }
  if (!isUp()) return;
  const pods = ['-n', 'istio-system'];
  for (const args of [
    ['get', 'pods', '-A', '-o', 'wide'],
    [...pods, 'describe', 'pods'],
    [...pods, 'logs', '-l', 'app=istiod', '--tail=20'],
  ]) {
    console.log(`--- kubectl ${args.join(' ')}\n${tryRun('kubectl', args, { timeoutMs: 10_000 }).stdout.slice(-6000)}`);
  }
}

/** Removes everything that bringUp made, also in an earlier life, but the binaries. */
export async function takeDown(): Promise<void> {
  if (isUp()) {
    const everything = ['pods,deployments', '--all', '-A', '--grace-period=1', '--wait=false'];
    tryRun('kubectl', ['delete', ...everything], { timeoutMs: 20_000 });
    await waitFor('containers to end', () => listTasks().length === 0, 10_000).catch(() => null);
  }
  for (const name of processes) await stopProcess(name);
  await removeLeftovers();
}

/** Prints what is running. */
export function printStatus(): void {
  console.log(`cache: ${cache}`);
  for (const name of processes.toReversed()) {
    console.log(
      `${name.padEnd(12)} ${isRunning(name) ? 'running' : 'stopped'}   ${existsSync(logFile(name)) ? logFile(name) : ''}`,
    );
  }
  if (!isUp()) return;
  console.log(`istiod: ${currentMode() ?? 'not installed'}`);
  for (const name of Object.values(images)) console.log(`${name.padEnd(28)} ${hasImage(name) ? 'present' : 'missing'}`);
  process.stdout.write(run('kubectl', ['get', 'pods', '-A', '-o', 'wide']));
}
