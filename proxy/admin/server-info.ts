/** `/server_info`: version, state, options and node, as `envoy.admin.v3.ServerInfo`. */
import { stringifyJson } from '../../protos/json-writer.ts';
import type { AdminContext } from './admin-context.ts';
import type { AdminResponse } from './endpoint.ts';
import { jsonResponse } from './endpoint.ts';
import { nodeToJson, versionText } from './node-json.ts';

export function handleServerInfo({ server, bootstrap, commandLineOptions }: AdminContext): AdminResponse {
  const uptime = `${Math.floor((Date.now() - server.startTimeMs) / 1000)}s`;
  const info = {
    version: versionText,
    state: server.state,
    uptime_current_epoch: uptime,
    uptime_all_epochs: uptime,
    hot_restart_version: 'disabled',
    command_line_options: commandLineOptions,
    node: nodeToJson(bootstrap.node, true),
  };
  return jsonResponse(`${stringifyJson(info)}\n`);
}
