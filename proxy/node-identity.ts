/**
 * The node as control planes and config_dump see it: what the bootstrap says, and what this proxy adds about itself.
 *
 * Source: Envoy's LocalInfo and its build version; `user_agent_name` stays `envoy`, which control planes test for.
 */
import { versions } from 'node:process';
import { envoyVersion, istioVersion } from '../common/version.ts';
import { jsonToStructFields } from '../protos/struct.ts';
import { extensions } from './extensions/compile-manifest.ts';
import type { NodeMessage } from './xds/discovery-stream.ts';

const categories = {
  httpFilters: 'envoy.filters.http',
  networkFilters: 'envoy.filters.network',
  listenerFilters: 'envoy.filters.listener',
  accessLoggers: 'envoy.access_loggers',
} as const;

/** The number of a message in `major.minor.patch`. */
function parseVersion(text: string): { major_number: number; minor_number: number; patch: number } {
  const [major, minor, patch] = text.split('.').map(Number);
  return { major_number: major, minor_number: minor, patch };
}

/** Every extension that is compiled in, as a control plane may ask for. */
function listExtensions(): { name: string; category: string; type_urls: string[] }[] {
  return (Object.keys(categories) as (keyof typeof categories)[]).flatMap(key =>
    extensions[key].map(({ kind, message }) => ({ name: kind, category: categories[key], type_urls: [message] })),
  );
}

/** @param overrides `--service-node` and `--service-cluster`; empty: as the bootstrap says. */
export function completeNode(
  node: NodeMessage,
  overrides: { readonly id: string; readonly cluster: string },
): NonNullable<NodeMessage> {
  const base: NonNullable<NodeMessage> = node ?? {};
  const build = {
    'build.type': 'RELEASE',
    'build.label': `node-sidecar/${istioVersion}`,
    'revision.status': 'Clean',
    'ssl.version': `OpenSSL ${versions.openssl}`,
  };
  return {
    ...base,
    id: overrides.id === '' ? base.id : overrides.id,
    cluster: overrides.cluster === '' ? base.cluster : overrides.cluster,
    user_agent_name: 'envoy',
    user_agent_build_version: {
      version: parseVersion(envoyVersion),
      metadata: { fields: jsonToStructFields(build) } as never,
    },
    extensions: listExtensions(),
  };
}

/** The same for a control plane, which is also told what the client can do; config_dump does not show that. */
export function addClientFeatures(node: NonNullable<NodeMessage>): NonNullable<NodeMessage> {
  return {
    ...node,
    client_features: ['envoy.lb.does_not_support_overprovisioning', 'envoy.lrs.supports_send_all_clusters'],
  };
}
