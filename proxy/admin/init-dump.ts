/** `/init_dump`: what initialization still waits for, as `envoy.admin.v3.UnreadyTargetsDumps`. */
import { stringifyJson } from '../../protos/json-writer.ts';
import type { AdminContext } from './admin-context.ts';
import type { AdminRequest, AdminResponse } from './endpoint.ts';
import { jsonResponse } from './endpoint.ts';

export function handleInitDump({ query }: AdminRequest, { server }: AdminContext): AdminResponse {
  const mask = query.get('mask');
  // Envoy knows the listeners' targets only, and says nothing of other masks.
  if (mask !== null && mask !== 'listener') return jsonResponse('{}\n');
  const dumps = [...server.listUnready()].map(({ name, targets }) => ({ name, target_names: targets }));
  return jsonResponse(`${stringifyJson(dumps.length === 0 ? {} : { unready_targets_dumps: dumps })}\n`);
}
