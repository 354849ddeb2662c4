/** `envoy.config.core.v3.Metadata` as plain JSON. */
import type { protos } from '../../../protos/messages.ts';
import { structToJson } from '../../../protos/struct.ts';
import type { Metadata } from '../model/matchers.ts';

/** The namespaces of `filter_metadata`; empty if absent. */
export function compileMetadata(message: protos.envoy.config.core.v3.Metadata | null): Metadata {
  const metadata: { [namespace: string]: { [key: string]: unknown } } = {};
  for (const [namespace, struct] of Object.entries(message?.filter_metadata ?? {})) {
    Object.defineProperty(metadata, namespace, { value: structToJson(struct as never), enumerable: true, configurable: true });
  }
  return metadata;
}

/** The values of both; where both have one, that of `own`. */
export function mergeMetadata(base: Metadata, own: Metadata): Metadata {
  const namespaces = [...new Set([...Object.keys(base), ...Object.keys(own)])];
  return Object.fromEntries(namespaces.map(namespace => [namespace, { ...base[namespace], ...own[namespace] }]));
}
