/** The addresses of this node: which ones istiod gets to know, and which families they are. */
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { AgentLogger } from '../log.ts';
import type { StringMap } from './downward-api.ts';

const log = new AgentLogger('default');

/** The pod's address first, then every other usable one of interfaces that are up and not excluded. */
export function discoverAddresses(instanceIp: string, annotations: StringMap): readonly string[] {
  const first = isIP(instanceIp) === 0 ? [] : [instanceIp];
  const found = Object.values(networkInterfaces()).flatMap(addresses => (addresses ?? []).filter(isUsable));
  const others = found.length === 0 ? ['127.0.0.1', '::1'] : found.map(address => address.address);
  const excluded = new Set([...first, ...findExcluded(annotations)]);
  return [...new Set([...first, ...others.filter(address => !excluded.has(address))])];
}

type InterfaceAddress = { readonly address: string; readonly internal: boolean };

function isUsable(address: InterfaceAddress): boolean {
  return !address.internal && !isLinkLocal(address.address);
}

function isLinkLocal(address: string): boolean {
  return address.startsWith('169.254.') || /^fe[89ab]/i.test(address) || /^ff.2:/i.test(address);
}

function findExcluded(annotations: StringMap): readonly string[] {
  const names = annotations['traffic.sidecar.istio.io/excludeInterfaces'];
  if (names === undefined) return [];
  const interfaces = networkInterfaces();
  const excluded = names.split(',').flatMap(name => {
    if (interfaces[name] === undefined) log.warn(`Unable to get interface ${name}`);
    return (interfaces[name] ?? []).filter(isUsable).map(address => address.address);
  });
  log.info(`Exclude IPs [${excluded.join(' ')}] based on traffic.sidecar.istio.io/excludeInterfaces annotation`);
  return excluded;
}

export type AddressFamily = 'v4' | 'v6' | 'dual';

/** The families of a node's addresses; no address at all counts as v4. */
export function addressFamily(addresses: readonly string[]): AddressFamily {
  const families = new Set(addresses.map(address => isIP(address)));
  if (families.has(4) && families.has(6)) return 'dual';
  return families.has(6) ? 'v6' : 'v4';
}
