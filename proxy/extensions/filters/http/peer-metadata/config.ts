/** `io.istio.http.peer_metadata.Config`: which headers tell and carry peer metadata. */
import type { protos } from '../../../../../protos/messages.ts';
import { defineHttpFilter } from '../../../../config/compile/extension.ts';
import { classify } from '../../../../config/compile/field-table.ts';
import { ConfigError } from '../../../../config/compile/config-error.ts';
import type { PeerMetadataModel, PropagationModel } from './filter.ts';

type Config = protos.io.istio.http.peer_metadata.Config;

function usesHeaders(methods: Config['downstream_discovery'], path: string): boolean {
  for (const [i, method] of methods.entries()) {
    if (method.baggage != null) throw new ConfigError(`${path}[${i}].baggage`, 'is not implemented');
  }
  return methods.some(method => method.istio_headers != null);
}

function compilePropagation(methods: Config['downstream_propagation'], path: string): PropagationModel | null {
  for (const [i, method] of methods.entries()) {
    if (method.baggage != null) throw new ConfigError(`${path}[${i}].baggage`, 'is not implemented');
  }
  const headers = methods.find(method => method.istio_headers != null)?.istio_headers;
  return headers == null ? null : { skipExternalClusters: headers.skip_external_clusters };
}

function compile(message: Config, path: string): PeerMetadataModel {
  return {
    downstreamDiscovery: usesHeaders(message.downstream_discovery, `${path}.downstream_discovery`),
    upstreamDiscovery: usesHeaders(message.upstream_discovery, `${path}.upstream_discovery`),
    downstreamPropagation: compilePropagation(message.downstream_propagation, `${path}.downstream_propagation`),
    upstreamPropagation: compilePropagation(message.upstream_propagation, `${path}.upstream_propagation`),
    additionalLabels: message.additional_labels,
  };
}

export const peerMetadataFilter = defineHttpFilter({
  kind: 'envoy.filters.http.peer_metadata',
  message: 'io.istio.http.peer_metadata.Config',
  compile,
  fields: {
    'io.istio.http.peer_metadata.Config': classify({
      implemented: 'downstream_discovery upstream_discovery downstream_propagation upstream_propagation additional_labels',
      ignored: { shared_with_upstream: 'internal listeners are not implemented: there is nothing to share with' },
    }),
    'io.istio.http.peer_metadata.Config.DiscoveryMethod': classify({
      implemented: 'baggage istio_headers',
      ignored: {
        workload_discovery: 'finds nothing without the bootstrap extension, which istiod enables for ambient meshes only',
      },
    }),
    'io.istio.http.peer_metadata.Config.PropagationMethod': classify({ implemented: 'baggage istio_headers' }),
    'io.istio.http.peer_metadata.Config.IstioHeaders': classify({ implemented: 'skip_external_clusters' }),
    'io.istio.http.peer_metadata.Config.Baggage': classify({}),
    'io.istio.http.peer_metadata.Config.WorkloadDiscovery': classify({}),
  },
});
