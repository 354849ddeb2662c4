/** What a cluster leaves on the machine when it is stopped, or was never stopped properly: processes, mounts, network, rules. */
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { tryRun } from './command.ts';
import { bridge, containerdSocket, nodeIp, state } from './layout.ts';
import { findPrograms, findProcesses, signal, stopPid } from './process.ts';

/** The one of a container, which outlives containerd. */
const shim = 'containerd-shim-runc-v2';

/** The mesh's other programs that run in the background. */
const daemons = [
  ...['kubelet', 'kube-proxy', 'coredns', 'kube-scheduler', 'kube-controller-manager', 'kube-apiserver', 'etcd'],
  'containerd',
];

const namespaceFolder = '/run/netns';

/** Where they listen on this machine, whatever the addresses. */
const ports = [2379, 2380, 6443, 10248, 10249, 10250, 10256, 10257, 10259];

/** Throws an Error that names who listens where the cluster has to. */
export function checkPorts(): void {
  const { stdout } = tryRun('ss', ['-Hltnp']);
  const taken = stdout.split('\n').flatMap(line => {
    const [, , , address = '', , user = ''] = line.trim().split(/\s+/);
    const port = Number(address.split(':').at(-1));
    return ports.includes(port) ? [`${port} (${/"[^"]+",pid=\d+/.exec(user)?.[0] ?? 'unknown'})`] : [];
  });
  if (taken.length > 0)
    throw new Error(`Ports of the cluster are taken, by another one perhaps; stop it first: ${taken.join(', ')}`);
}

/** Containers that run. */
export function listTasks(): string[] {
  const { stdout } = tryRun('ctr', ['-a', containerdSocket, '-n', 'k8s.io', 'tasks', 'ls', '-q'], { timeoutMs: 10_000 });
  return stdout.split('\n').filter(line => line !== '');
}

/** Processes whose root file system is a container of this cluster. */
function findContained(): number[] {
  return findProcesses(pid =>
    readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
      .split('\n')
      .some(line => line.split(' ')[4] === '/' && line.includes(`${state}/containerd/`)),
  );
}

function mountsBelow(folder: string): string[] {
  return readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map(line => line.split(' ')[1] ?? '')
    .filter(path => path.startsWith(`${folder}/`))
    .sort()
    .reverse();
}

/** Network namespaces of pods: those with an address of the cluster, and names of which nothing is left. */
function podNamespaces(): string[] {
  const names = existsSync(namespaceFolder) ? readdirSync(namespaceFolder).filter(name => name.startsWith('cni-')) : [];
  return names.filter(name => {
    const { code, stdout } = tryRun('ip', ['-n', name, '-o', '-4', 'addr']);
    return code !== 0 || stdout.includes(` ${nodeIp.replace(/\d+$/, '')}`);
  });
}

/** Chains of kubelet and kube-proxy that `kube-proxy --cleanup` leaves. */
const chains = ['KUBE-FIREWALL', 'KUBE-KUBELET-CANARY', 'KUBE-IPTABLES-HINT'];

function removeChains(): void {
  for (const command of ['iptables', 'ip6tables']) {
    for (const table of ['filter', 'nat', 'mangle']) {
      const rules = tryRun(`${command}-save`, ['-t', table]).stdout.split('\n');
      const uses = rules.filter(rule => chains.some(chain => rule.endsWith(` -j ${chain}`)));
      for (const rule of uses) tryRun(command, ['-t', table, ...rule.replace(/^-A/, '-D').split(' ')]);
      for (const chain of chains) {
        if (!rules.some(rule => rule.startsWith(`:${chain} `))) continue;
        for (const action of ['-F', '-X']) tryRun(command, ['-t', table, action, chain]);
      }
    }
  }
}

/** A name that cannot be removed, as where its mount is hidden below another, is in nobody's way. */
function removeNamespace(name: string): void {
  if (tryRun('ip', ['netns', 'del', name]).code === 0) return;
  try {
    rmSync(join(namespaceFolder, name), { force: true });
  } catch {
    // Busy.
  }
}

async function stopAll(pids: readonly number[]): Promise<void> {
  await Promise.all(pids.map(stopPid));
}

/** Removes it all; processes first. Nothing of other programs is touched. */
export async function removeLeftovers(): Promise<void> {
  await stopAll(findPrograms(daemons));
  for (const pid of findContained()) signal(pid, 'SIGKILL');
  await stopAll(findPrograms([shim]));
  for (const name of podNamespaces()) removeNamespace(name);
  tryRun('kube-proxy', ['--cleanup']);
  removeChains();
  tryRun('ip', ['link', 'del', bridge]);
  for (const mount of mountsBelow(state)) tryRun('umount', ['-l', mount]);
  rmSync(state, { recursive: true, force: true });
  rmSync('/var/lib/cni/networks/lab', { recursive: true, force: true });
}
