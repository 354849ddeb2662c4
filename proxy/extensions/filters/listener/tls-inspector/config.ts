/** `envoy.filters.listener.tls_inspector`. */
import { defineExtension } from '../../../../config/compile/extension.ts';
import { classify } from '../../../../config/compile/field-table.ts';

export const tlsInspectorFilter = defineExtension({
  kind: 'envoy.filters.listener.tls_inspector',
  message: 'envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector',
  compile: () => ({}),
  fields: {
    'envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector': classify({
      ignored: { initial_read_buffer_size: 'a hello is read whole in any case' },
      rejected: 'enable_ja3_fingerprinting',
    }),
  },
});
