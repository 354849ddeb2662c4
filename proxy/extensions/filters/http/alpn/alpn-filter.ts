/** Run time of `istio.alpn`: leaves the ALPNs for the upstream connection in the filter state. */
import type { Protocol } from '../../../../telemetry/stream-info.ts';
import type { FilterFactoryContext, HttpFilterFactory } from '../../../../http/filter.ts';
import { HookStatus } from '../../../../http/filter.ts';
import { RouteEntry } from '../../../../router/route-entry.ts';
import { applicationProtocolsKey } from '../../../../upstream/stream-options.ts';
import type { AlpnModel } from './config.ts';

export function createAlpnFilter(config: AlpnModel, context: FilterFactoryContext): HttpFilterFactory {
  return callbacks => ({
    onRequestHeaders() {
      const entry = callbacks.route?.compiled;
      if (!(entry instanceof RouteEntry) || entry.action.kind !== 'forward') return HookStatus.continue;
      const cluster = context.services.clusters.find(entry.action.clusterName);
      if (cluster === null || cluster.model.metadata.istio?.alpn_override === 'false') return HookStatus.continue;
      const override = config.overrides[upstreamProtocol(cluster.model.protocol.kind, callbacks.streamInfo.protocol)];
      if (override !== undefined) callbacks.streamInfo.setFilterState(applicationProtocolsKey, override);
      return HookStatus.continue;
    },
  });
}

/** Where ALPN decides, what is offered is HTTP/2's, as in Envoy. */
function upstreamProtocol(kind: string, downstream: Protocol): Protocol {
  if (kind === 'http2' || kind === 'auto') return 'HTTP/2';
  if (kind === 'downstream') return downstream;
  return 'HTTP/1.1';
}
