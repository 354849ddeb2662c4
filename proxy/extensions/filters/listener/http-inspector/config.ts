/** `envoy.filters.listener.http_inspector`. */
import { defineExtension } from '../../../../config/compile/extension.ts';
import { classify } from '../../../../config/compile/field-table.ts';

export const httpInspectorFilter = defineExtension({
  kind: 'envoy.filters.listener.http_inspector',
  message: 'envoy.extensions.filters.listener.http_inspector.v3.HttpInspector',
  compile: () => ({}),
  fields: { 'envoy.extensions.filters.listener.http_inspector.v3.HttpInspector': classify({}) },
});
