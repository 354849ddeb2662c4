/** The clusters that routes name: an inline route configuration is refused if one of them does not exist. */
import type { RouteConfigModel } from '../model/route.ts';

/** A cluster that must exist before a resource is accepted. */
export interface RequiredCluster {
  readonly name: string;
  /** Envoy's text for its absence. */
  readonly problem: string;
}

/** The clusters of all routes, in order; those that a header names are known only with a request. */
export function listRouteClusters({ virtualHosts }: RouteConfigModel): RequiredCluster[] {
  const required: RequiredCluster[] = [];
  const add = (kind: string, name: string) => {
    if (name !== '') required.push({ name, problem: `route: unknown ${kind} '${name}'` });
  };
  for (const { action } of virtualHosts.flatMap(virtualHost => virtualHost.routes)) {
    if (action.kind !== 'forward') continue;
    if (action.cluster.kind === 'name') add('cluster', action.cluster.name);
    if (action.cluster.kind === 'weighted') for (const { name } of action.cluster.clusters) add('weighted cluster', name);
    for (const { cluster } of action.mirrors) add('shadow cluster', cluster);
  }
  return required;
}
