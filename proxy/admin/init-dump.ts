/** `/init_dump`: what initialization still waits for, as `envoy.admin.v3.UnreadyTargetsDumps`. */
import { stringifyJson } from '../../protos/json-writer.ts';
import type { AdminContext } from './admin-context.ts';
import type { AdminRequest, AdminResponse } from './endpoint.ts';
import { jsonResponse, textResponse } from './endpoint.ts';

export function handleInitDump({ query }: AdminRequest, { server }: AdminContext): AdminResponse {
  const mask = query.get('mask');
  if (mask !== null && mask !== 'listener') return textResponse(`mask "${mask}" is not supported`, 400);
  const dumps = [...server.listUnready()].map(({ name, targets }) => ({ name, target_names: targets }));
  return jsonResponse(`${stringifyJson(dumps.length === 0 ? {} : { unready_targets_dumps: dumps })}\n`);
}
