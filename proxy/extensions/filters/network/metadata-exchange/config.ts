/** `envoy.tcp.metadataexchange.config.MetadataExchange`. */
import type { protos } from '../../../../../protos/messages.ts';
import { defineNetworkFilter } from '../../../../config/compile/extension.ts';
import { classify } from '../../../../config/compile/field-table.ts';
import type { MetadataExchangeModel } from './filter.ts';

function compile(message: protos.envoy.tcp.metadataexchange.config.MetadataExchange): MetadataExchangeModel {
  return { protocol: message.protocol, additionalLabels: message.additional_labels };
}

export const metadataExchangeFilter = defineNetworkFilter({
  kind: 'envoy.filters.network.metadata_exchange',
  message: 'envoy.tcp.metadataexchange.config.MetadataExchange',
  compile,
  fields: {
    'envoy.tcp.metadataexchange.config.MetadataExchange': classify({
      implemented: 'protocol additional_labels',
      ignored: {
        enable_discovery: 'finds nothing without the bootstrap extension, which istiod enables for ambient meshes only',
      },
    }),
  },
});
