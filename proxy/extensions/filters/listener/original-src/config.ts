/** `envoy.filters.listener.original_src`. */
import { defineExtension } from '../../../../config/compile/extension.ts';
import { classify } from '../../../../config/compile/field-table.ts';
import type { OriginalSrcModel } from '../../../../listener/original-src.ts';

export const originalSrcFilter = defineExtension({
  kind: 'envoy.filters.listener.original_src',
  message: 'envoy.extensions.filters.listener.original_src.v3.OriginalSrc',
  compile: ({ mark }): OriginalSrcModel => ({ mark }),
  fields: {
    'envoy.extensions.filters.listener.original_src.v3.OriginalSrc': classify({
      implemented: 'mark',
      ignored: { bind_port: 'Envoy binds the address only, too' },
    }),
  },
});
