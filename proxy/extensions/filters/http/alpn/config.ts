/** `istio.alpn`: the ALPNs that a sidecar offers to upstreams, by HTTP version. */
import { classify } from '../../../../config/compile/field-table.ts';
import { defineHttpFilter } from '../../../../config/compile/extension.ts';

const protocols = ['HTTP/1.0', 'HTTP/1.1', 'HTTP/2'] as const;

export interface AlpnModel {
  /** Upstream protocol to ALPNs. */
  readonly overrides: { readonly [protocol: string]: readonly string[] };
}

export const alpnFilter = defineHttpFilter({
  kind: 'istio.alpn',
  message: 'istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig',
  compile(message): AlpnModel {
    const overrides: { [protocol: string]: readonly string[] } = {};
    for (const { upstream_protocol, alpn_override } of message.alpn_override) {
      if (alpn_override.length > 0) overrides[protocols[upstream_protocol]] = alpn_override;
    }
    return { overrides };
  },
  fields: {
    'istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig': classify({ implemented: 'alpn_override' }),
    'istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig.AlpnOverride': classify({
      implemented: 'upstream_protocol alpn_override',
    }),
  },
});
