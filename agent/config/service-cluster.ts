/** The name under which this workload's spans and statistics appear (node.cluster). */
import type { StringMap } from './downward-api.ts';
import type { Node } from './node-metadata.ts';
import type { ProxyConfig } from './proxy-config.ts';

/** Source: getServiceCluster in istio.io/istio pkg/bootstrap. */
export function nameServiceCluster(config: ProxyConfig, node: Node): string {
  if (config.tracingServiceName === undefined) return nameOrDefault(config.serviceCluster ?? '', node);
  const labels = (node.typed.LABELS ?? {}) as StringMap;
  const canonicalName = lookUpLabel(labels, [...nameLabels].reverse()) ?? workloadNameOf(node) ?? 'istio-proxy';
  if (config.tracingServiceName === 'CANONICAL_NAME_ONLY') return nameOrDefault(canonicalName, node);
  if (config.tracingServiceName !== 'CANONICAL_NAME_AND_NAMESPACE') return nameOrDefault('istio-proxy', node);
  const namespace = (node.typed.NAMESPACE as string | undefined) ?? '';
  return namespace === '' ? nameOrDefault(canonicalName, node) : `${canonicalName}.${namespace}`;
}

/** In the order in which the default name looks for them; the canonical name prefers them the other way round. */
const nameLabels = ['app', 'app.kubernetes.io/name', 'service.istio.io/canonical-name'] as const;

function nameOrDefault(name: string, node: Node): string {
  if (name !== '' && name !== 'istio-proxy') return name;
  const namespace = (node.typed.NAMESPACE as string | undefined) ?? '';
  const app = lookUpLabel((node.typed.LABELS ?? {}) as StringMap, nameLabels) ?? workloadNameOf(node);
  if (app !== undefined) return `${app}.${namespace}`;
  return namespace === '' ? 'istio-proxy' : `istio-proxy.${namespace}`;
}

function workloadNameOf(node: Node): string | undefined {
  return node.typed.WORKLOAD_NAME as string | undefined;
}

function lookUpLabel(labels: StringMap, keys: readonly string[]): string | undefined {
  const key = keys.find(candidate => labels[candidate] !== undefined);
  return key === undefined ? undefined : labels[key];
}
