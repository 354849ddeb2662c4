/** `local_reply_config` of a connection manager. */
import type { protos } from '../../../protos/messages.ts';
import type { BodyFormat, LocalReplyMapper, LocalReplyModel } from '../model/http-connection-manager.ts';
import { compileAccessLogFilter } from './access-log.ts';
import { ConfigError } from './config-error.ts';
import { readTextSource } from './data-source.ts';
import { compileFormatString, findUnknownFormatter } from './format.ts';
import { compileHeaderAdditions } from './header-mutations.ts';
import { requireRange } from './scalars.ts';
import type { CompileScope } from './scope.ts';

type LocalReplyConfig = protos.envoy.extensions.filters.network.http_connection_manager.v3.LocalReplyConfig;
type ResponseMapper = protos.envoy.extensions.filters.network.http_connection_manager.v3.ResponseMapper;

/** The part of the connection manager's model; `path` is that of the message. */
export function compileLocalReply(
  message: LocalReplyConfig | null,
  path: string,
  scope: CompileScope,
): { readonly localReply?: LocalReplyModel } {
  if (message === null) return {};
  return {
    localReply: {
      mappers: message.mappers.map((mapper, i) => compileMapper(mapper, `${path}.mappers[${i}]`, scope)),
      bodyFormat: compileBodyFormat(message.body_format, `${path}.body_format`),
    },
  };
}

function compileMapper(message: ResponseMapper, path: string, scope: CompileScope): LocalReplyMapper {
  if (message.filter === null) throw new ConfigError(`${path}.filter`, 'value is required');
  const status = message.status_code;
  return {
    filter: compileAccessLogFilter(message.filter, `${path}.filter`, scope),
    status: status === null ? null : requireRange(status.value, 200, 599, `${path}.status_code`),
    body: readTextSource(message.body, `${path}.body`),
    bodyFormat: compileBodyFormat(message.body_format_override, `${path}.body_format_override`),
    headers: compileHeaderAdditions(message.headers_to_add, `${path}.headers_to_add`),
  };
}

function compileBodyFormat(
  message: protos.envoy.config.core.v3.SubstitutionFormatString | null,
  path: string,
): BodyFormat | null {
  if (message === null) return null;
  const unknown = findUnknownFormatter(message, path);
  if (unknown !== null) throw new ConfigError(`${path}.formatters`, `formatter ${unknown} is not implemented`);
  const format = compileFormatString(message, path);
  return { format, contentType: message.content_type || (format.kind === 'json' ? 'application/json' : 'text/plain') };
}
