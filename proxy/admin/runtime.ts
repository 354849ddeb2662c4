/** `/runtime` and `/runtime_modify`. */
import { stringifyJson } from '../../protos/json-writer.ts';
import type { AdminContext } from './admin-context.ts';
import type { AdminRequest, AdminResponse } from './endpoint.ts';
import { jsonResponse, okResponse, textResponse } from './endpoint.ts';

export function handleRuntime({ runtime }: AdminContext): AdminResponse {
  const { layers } = runtime;
  const keys = [...new Set(layers.flatMap(({ values }) => Object.keys(values)))].sort();
  const entries = Object.fromEntries(
    keys.map(key => {
      const layerValues = layers.map(({ values }) => String(values[key] ?? ''));
      return [key, { layer_values: layerValues, final_value: layerValues.findLast(value => value !== '') ?? '' }];
    }),
  );
  return jsonResponse(`${stringifyJson({ entries, layers: layers.map(({ name }) => name) })}\n`);
}

const usage = `usage: /runtime_modify?key1=value1&key2=value2&keyN=valueN
       or send the parameters as form values
use an empty value to remove a previously added override
`;

export function handleRuntimeModify(request: AdminRequest, { runtime }: AdminContext): AdminResponse {
  const isForm = String(request.headers['content-type'] ?? '').startsWith('application/x-www-form-urlencoded');
  const values = isForm && request.query.size === 0 ? new URLSearchParams(request.body) : request.query;
  if (values.size === 0) return textResponse(usage, 400);
  if (!runtime.hasAdminLayer) return textResponse('No admin layer specified', 503);
  runtime.modify(Object.fromEntries(values));
  return okResponse;
}
