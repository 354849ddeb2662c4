/** `envoy.filters.listener.original_dst`. */
import { defineExtension } from '../../../../config/compile/extension.ts';
import { classify } from '../../../../config/compile/field-table.ts';

export const originalDstFilter = defineExtension({
  kind: 'envoy.filters.listener.original_dst',
  message: 'envoy.extensions.filters.listener.original_dst.v3.OriginalDst',
  compile: () => ({}),
  fields: { 'envoy.extensions.filters.listener.original_dst.v3.OriginalDst': classify({}) },
});
