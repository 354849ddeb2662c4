/** `request_mirror_policies` of a route and of the levels above it. */
import type { protos } from '../../../protos/messages.ts';
import type { HeaderMutation, MirrorPolicy } from '../model/route.ts';
import { ConfigError } from './config-error.ts';
import { compileHeaderValueOption } from './header-mutations.ts';
import { requireHeaderName } from './matchers.ts';
import { runtimeFraction } from './scalars.ts';

type MirrorMessage = protos.envoy.config.route.v3.RouteAction.RequestMirrorPolicy;

/** `path` is that of the list. */
export function compileMirrors(messages: readonly MirrorMessage[], path: string): readonly MirrorPolicy[] {
  return messages.map((message, i) => compileMirror(message, `${path}[${i}]`));
}

function compileMirror(message: MirrorMessage, path: string): MirrorPolicy {
  if ((message.cluster === '') === (message.cluster_header === '')) {
    throw new ConfigError(path, 'Exactly one of cluster or cluster_header can be specified');
  }
  const mutations = message.request_headers_mutations.map((mutation, i) =>
    compileMutation(mutation, `${path}.request_headers_mutations[${i}]`),
  );
  return {
    cluster: message.cluster,
    clusterHeader: message.cluster_header.toLowerCase(),
    fraction: runtimeFraction(message.runtime_fraction, `${path}.runtime_fraction`),
    disableShadowHostSuffix: message.disable_shadow_host_suffix_append,
    ...(mutations.length === 0 ? {} : { mutations }),
    ...(message.host_rewrite_literal === '' ? {} : { hostRewriteLiteral: message.host_rewrite_literal }),
  };
}

function compileMutation(message: protos.envoy.config.common.mutation_rules.v3.HeaderMutation, path: string): HeaderMutation {
  switch (message.action) {
    case 'remove':
      return { kind: 'remove', name: requireHeaderName(message.remove!, `${path}.remove`).toLowerCase() };
    case 'append':
      return { kind: 'set', option: compileHeaderValueOption(message.append!, `${path}.append`) };
    default:
      throw new ConfigError(path, 'action is required');
  }
}
