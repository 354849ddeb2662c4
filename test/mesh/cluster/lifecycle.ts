/** The whole cluster up, down, and its status. */
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { makeCertificates } from './certificates.ts';
import { run, tryRun, waitFor } from './command.ts';
import { startControlPlane } from './control-plane.ts';
import { startDns } from './dns.ts';
import { hasImage } from './images.ts';
import { currentMode, installIstio, type Mode } from './istio.ts';
import { bridge, cache, containerdSocket, images, nodeName, state } from './layout.ts';
import { createBridge, startContainerd, startNode, waitForNode } from './node.ts';
import { isRunning, logFile, stopPid, stopProcess } from './process.ts';
import { buildTools } from './tools.ts';

/** In the order in which they are stopped. */
const processes = ['kubelet', 'kube-proxy', 'coredns', 'scheduler', 'controllers', 'apiserver', 'etcd', 'containerd'];

export function isUp(): boolean {
  return isRunning('apiserver') && tryRun('kubectl', ['get', 'node', nodeName], { timeoutMs: 5000 }).code === 0;
}

/** Starts what is not running. */
export async function bringUp(mode: Mode): Promise<void> {
  buildTools();
  if (!isUp()) {
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
  if (currentMode() === mode) return;
  console.log(`installing istiod in ${mode} mode`);
  await installIstio(mode);
}

/** Removes everything that bringUp made, but the binaries. */
export async function takeDown(): Promise<void> {
  if (!existsSync(state)) return;
  if (isRunning('apiserver')) {
    const everything = ['pods,deployments', '--all', '-A', '--grace-period=1', '--wait=false'];
    tryRun('kubectl', ['delete', ...everything], { timeoutMs: 20_000 });
    await waitFor('containers to end', () => listTasks().length === 0, 10_000).catch(() => null);
  }
  const shims = findShims();
  for (const task of listTasks()) tryRun('ctr', ['-a', containerdSocket, '-n', 'k8s.io', 'tasks', 'kill', '-s', 'KILL', task]);
  for (const name of processes) await stopProcess(name);
  for (const pid of shims) await stopPid(pid);
  tryRun('kube-proxy', ['--cleanup']);
  tryRun('ip', ['link', 'del', bridge]);
  for (const mount of mountsBelow(state)) tryRun('umount', ['-l', mount]);
  rmSync(state, { recursive: true, force: true });
  rmSync('/var/lib/cni/networks/lab', { recursive: true, force: true });
}

function listTasks(): string[] {
  const { stdout } = tryRun('ctr', ['-a', containerdSocket, '-n', 'k8s.io', 'tasks', 'ls', '-q']);
  return stdout.split('\n').filter(line => line !== '');
}

/** The shims that serve this cluster's containerd: they name its socket. */
function findShims(): number[] {
  const { stdout } = tryRun('ps', ['-eo', 'pid=,args=']);
  return stdout
    .split('\n')
    .filter(line => line.includes('containerd-shim-runc-v2') && line.includes(containerdSocket))
    .map(line => Number.parseInt(line, 10));
}

function mountsBelow(folder: string): string[] {
  return readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map(line => line.split(' ')[1] ?? '')
    .filter(path => path.startsWith(`${folder}/`))
    .sort()
    .reverse();
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
