/** Header edits as they stand on every level of a route configuration. */
import type { protos } from '../../../protos/messages.ts';
import type { HeaderMutations, HeaderValueOption } from '../model/route.ts';
import { ConfigError } from './config-error.ts';
import { requireFormat } from './format.ts';
import { requireHeaderName } from './matchers.ts';

interface Edited {
  readonly request_headers_to_add: readonly protos.envoy.config.core.v3.HeaderValueOption[];
  readonly request_headers_to_remove: readonly string[];
  readonly response_headers_to_add: readonly protos.envoy.config.core.v3.HeaderValueOption[];
  readonly response_headers_to_remove: readonly string[];
}

const actions = ['append', 'add-if-absent', 'overwrite-or-add', 'overwrite-if-exists'] as const;
/** Envoy's limit per list. */
const maxHeaders = 1000;
const maxValueBytes = 16_384;

/** Shared by all levels without edits. */
const noMutations: HeaderMutations = { requestAdd: [], requestRemove: [], responseAdd: [], responseRemove: [] };

export function compileHeaderMutations(message: Edited, path: string): HeaderMutations {
  const { request_headers_to_add, request_headers_to_remove, response_headers_to_add, response_headers_to_remove } = message;
  const count =
    request_headers_to_add.length +
    request_headers_to_remove.length +
    response_headers_to_add.length +
    response_headers_to_remove.length;
  if (count === 0) return noMutations;
  const at = (field: string): string => (path === '' ? field : `${path}.${field}`);
  return {
    requestAdd: compileHeaderAdditions(request_headers_to_add, at('request_headers_to_add')),
    requestRemove: compileRemovals(request_headers_to_remove, at('request_headers_to_remove')),
    responseAdd: compileHeaderAdditions(response_headers_to_add, at('response_headers_to_add')),
    responseRemove: compileRemovals(response_headers_to_remove, at('response_headers_to_remove')),
  };
}

function compileRemovals(names: readonly string[], path: string): readonly string[] {
  return names.map((name, i) => {
    const lowerCase = requireHeaderName(name, `${path}[${i}]`).toLowerCase();
    if (lowerCase.startsWith(':') || lowerCase === 'host') {
      throw new ConfigError(`${path}[${i}]`, ':-prefixed or host headers may not be removed');
    }
    return lowerCase;
  });
}

/** `path` is that of the list. */
export function compileHeaderAdditions(
  messages: readonly protos.envoy.config.core.v3.HeaderValueOption[],
  path: string,
): readonly HeaderValueOption[] {
  if (messages.length > maxHeaders) throw new ConfigError(path, `value must contain no more than ${maxHeaders} item(s)`);
  return messages.map((message, i) => compileHeaderValueOption(message, `${path}[${i}]`));
}

export function compileHeaderValueOption(
  message: protos.envoy.config.core.v3.HeaderValueOption,
  path: string,
): HeaderValueOption {
  if (message.header === null) throw new ConfigError(`${path}.header`, 'value is required');
  const name = requireHeaderName(message.header.key, `${path}.header.key`).toLowerCase();
  if (name.startsWith(':') || name === 'host') {
    throw new ConfigError(`${path}.header.key`, ':-prefixed or host headers may not be modified');
  }
  const value = message.header.value;
  if (/[\0\r\n]/.test(value)) {
    throw new ConfigError(`${path}.header.value`, 'value does not match regex pattern "^[^\\x00\\n\\r]*$"');
  }
  if (Buffer.byteLength(value) > maxValueBytes) {
    throw new ConfigError(`${path}.header.value`, `value length must be at most ${maxValueBytes} bytes`);
  }
  return {
    name,
    value: requireFormat(value, `${path}.header.value`),
    action: readAction(message, path),
    keepEmpty: message.keep_empty_value,
  };
}

function readAction(message: protos.envoy.config.core.v3.HeaderValueOption, path: string): HeaderValueOption['action'] {
  if (message.append === null) return actions[message.append_action];
  if (message.append_action !== 0) {
    throw new ConfigError(path, 'Both append and append_action are set and it is not allowed');
  }
  return message.append.value ? 'append' : 'overwrite-or-add';
}
