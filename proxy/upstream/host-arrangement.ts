/** Hosts of a cluster by priority and locality, in the order that Envoy's balancers depend on. */
import type { BalancedHost, BalancedLocality, BalancedPriority } from './load-balancer/balanced-host.ts';

export interface Locality {
  readonly region: string;
  readonly zone: string;
  readonly subZone: string;
}

export const noLocality: Locality = { region: '', zone: '', subZone: '' };

/** Hosts of one locality of one priority, as discovered. */
export interface PlacedHosts<H extends BalancedHost> {
  readonly locality: Locality;
  readonly priority: number;
  /** 0: unset. */
  readonly weight: number;
  readonly hosts: readonly H[];
}

/** There is always a priority 0, be it empty. The locality of this proxy, `own`, comes first, then the others by name. */
export function arrangeHosts<H extends BalancedHost>(placed: readonly PlacedHosts<H>[], own: Locality): BalancedPriority<H>[] {
  const priorities: Map<string, BalancedLocality<H>>[] = [new Map()];
  const ownName = nameOf(own);
  for (const { locality, priority, weight, hosts } of placed) {
    while (priorities.length <= priority) priorities.push(new Map());
    // Its weight counts for nothing.
    if (hosts.length === 0) continue;
    const name = nameOf(locality);
    const known = priorities[priority].get(name);
    priorities[priority].set(name, {
      name,
      isLocal: name === ownName,
      weight,
      hosts: known === undefined ? hosts : [...known.hosts, ...hosts],
    });
  }
  return priorities.map(localities => ({ localities: [...localities.values()].sort(compareLocalities) }));
}

const separator = '\0';

function nameOf({ region, zone, subZone }: Locality): string {
  return [region, zone, subZone].join(separator);
}

function compareLocalities(a: BalancedLocality<BalancedHost>, b: BalancedLocality<BalancedHost>): number {
  if (a.isLocal !== b.isLocal) return a.isLocal ? -1 : 1;
  return (a.name as string) < (b.name as string) ? -1 : 1;
}
