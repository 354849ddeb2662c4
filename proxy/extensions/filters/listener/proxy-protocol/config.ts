/** `envoy.filters.listener.proxy_protocol`. */
import { defineExtension } from '../../../../config/compile/extension.ts';
import { classify } from '../../../../config/compile/field-table.ts';
import type { ProxyProtocolFilterModel } from '../../../../listener/proxy-protocol.ts';

const versions = ['v1', 'v2'] as const;

export const proxyProtocolFilter = defineExtension({
  kind: 'envoy.filters.listener.proxy_protocol',
  message: 'envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol',
  compile: (message): ProxyProtocolFilterModel => ({
    allowsAbsence: message.allow_requests_without_proxy_protocol,
    disallowedVersions: message.disallowed_versions.map(version => versions[version]),
    statPrefix: message.stat_prefix,
  }),
  fields: {
    'envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol': classify({
      implemented: 'allow_requests_without_proxy_protocol disallowed_versions stat_prefix',
      rejected: 'rules pass_through_tlvs',
    }),
  },
});
