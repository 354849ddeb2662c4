/**
 * Where a sidecar and its applications run: beside everything else on this host, each on ports of its own; or, as root, in a
 * network namespace like a pod's, on the usual ports, behind the real redirection.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { findFreePort } from '../test/support/proxy-process.ts';

export const bin = join(import.meta.dirname, '..', 'bin');

export interface SitePorts {
  readonly admin: number;
  readonly status: number;
  readonly health: number;
  readonly metrics: number;
}

export interface Site {
  readonly name: string;
  readonly address: string;
  readonly interceptionMode: 'NONE' | 'REDIRECT';
  readonly ports: SitePorts;
  /** Host part of the control plane's address, seen from here. */
  readonly controlPlaneAddress: string;
  /** What precedes a command so that it runs here, as an application and as the sidecar, whose traffic is not redirected. */
  readonly application: readonly string[];
  readonly sidecar: readonly string[];
  remove(): void;
}

/** On this host: nothing is redirected, so the sidecar's listeners bind ports. */
export async function createLocalSite(name: string): Promise<Site> {
  return {
    name,
    address: '127.0.0.1',
    interceptionMode: 'NONE',
    ports: {
      admin: await findFreePort(),
      status: await findFreePort(),
      health: await findFreePort(),
      metrics: await findFreePort(),
    },
    controlPlaneAddress: 'localhost',
    application: [],
    sidecar: [],
    remove() {},
  };
}

const bridge = { name: 'scdemo0', address: '10.250.0.1' };
/** The sidecar is told from applications by its group, as in Istio's TPROXY mode: its user must be able to read this checkout. */
const sidecarGroup = '1337';

/** @throws with the command and the last that it said; the redirection step logs to its standard output. */
function run(command: string, ...args: string[]): void {
  const { error, status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (error !== undefined) throw error;
  if (status === 0) return;
  const said = (stderr.trim() || stdout.trim()).split('\n').at(-1);
  throw new Error(`${[command, ...args].join(' ')} ended with ${status}: ${said}`);
}

/** @throws if this kernel or machine lacks what namespaces need. */
export function createBridge(): { readonly address: string; remove(): void } {
  const remove = () => {
    try {
      run('ip', 'link', 'delete', bridge.name);
    } catch {
      // It was not there.
    }
  };
  remove();
  run('ip', 'link', 'add', bridge.name, 'type', 'bridge');
  run('ip', 'address', 'add', `${bridge.address}/24`, 'dev', bridge.name);
  run('ip', 'link', 'set', bridge.name, 'up');
  return { address: bridge.address, remove };
}

/** A namespace on the bridge, with the rules of the init step in place. */
export function createNamespaceSite(name: string, index: number): Site {
  const namespace = `sidecar-demo-${name}`;
  const address = `10.250.0.${10 + index}`;
  const inside = ['ip', 'netns', 'exec', namespace];
  const remove = () => {
    try {
      run('ip', 'netns', 'delete', namespace);
    } catch {
      // It was not there.
    }
  };
  remove();
  run('ip', 'netns', 'add', namespace);
  try {
    const [outer, inner] = [`scdemo${index}o`, `scdemo${index}i`];
    run('ip', 'link', 'add', outer, 'type', 'veth', 'peer', 'name', inner, 'netns', namespace);
    run('ip', 'link', 'set', outer, 'master', bridge.name, 'up');
    for (const command of [
      `address add ${address}/24 dev ${inner}`,
      `link set ${inner} up`,
      'link set lo up',
      `route add default via ${bridge.address}`,
    ]) {
      run('ip', '-n', namespace, ...command.split(' '));
    }
    const rules = [
      '-p',
      '15001',
      '-z',
      '15006',
      '-u',
      '1337',
      '-g',
      sidecarGroup,
      '-m',
      'REDIRECT',
      '-i',
      '*',
      '-b',
      '*',
      '-d',
      '15090,15021,15020',
    ];
    run(inside[0], ...inside.slice(1), join(bin, 'pilot-agent'), 'istio-iptables', ...rules);
  } catch (error) {
    remove();
    throw error;
  }
  return {
    name,
    address,
    interceptionMode: 'REDIRECT',
    ports: { admin: 15000, status: 15020, health: 15021, metrics: 15090 },
    controlPlaneAddress: bridge.address,
    application: inside,
    sidecar: [...inside, 'setpriv', '--regid', sidecarGroup, '--clear-groups', '--'],
    remove,
  };
}
