/** `envoy.access_loggers.file`. */
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { protos } from '../../../../protos/messages.ts';
import { ConfigError } from '../../../config/compile/config-error.ts';
import { type AccessLogSink, defineExtension } from '../../../config/compile/extension.ts';
import { classify } from '../../../config/compile/field-table.ts';
import {
  compileFormatString,
  compileJson,
  defaultHttpFormat,
  findUnknownFormatter,
  requireFormat,
} from '../../../config/compile/format.ts';
import { requireText } from '../../../config/compile/scalars.ts';
import type { CompileScope } from '../../../config/compile/scope.ts';
import type { AccessLogFormat } from '../../../config/model/access-log.ts';

type FileAccessLog = protos.envoy.extensions.access_loggers.file.v3.FileAccessLog;

function compileFileFormat(message: FileAccessLog, path: string): AccessLogFormat {
  switch (message.access_log_format) {
    case 'format':
      // An empty format means the default, in the deprecated field only.
      if (message.format === '') break;
      return { kind: 'text', format: requireFormat(message.format!, `${path}.format`), omitEmpty: false };
    case 'json_format':
      return compileJson(message.json_format!, `${path}.json_format`, false);
    case 'typed_json_format':
      return compileJson(message.typed_json_format!, `${path}.typed_json_format`, false);
    case 'log_format':
      return compileFormatString(message.log_format!, `${path}.log_format`);
  }
  return { kind: 'text', format: defaultHttpFormat, omitEmpty: false };
}

const reasons: { readonly [code: string]: string | undefined } = {
  EACCES: 'Permission denied',
  EISDIR: 'Is a directory',
  ENOENT: 'No such file or directory',
  ENOTDIR: 'Not a directory',
  EROFS: 'Read-only file system',
};

/** The workers open the file later; what would fail there is refused here, without making the file. */
function requireWritable(file: string, path: string): void {
  // Standard streams: whether they can be opened again is seen by opening them only.
  if (file.startsWith('/dev/') || file.startsWith('/proc/')) return;
  try {
    if (!existsSync(file)) accessSync(`${dirname(file)}/.`, constants.W_OK | constants.X_OK);
    else if (statSync(file).isDirectory()) throw Object.assign(new Error('is a directory'), { code: 'EISDIR' });
    else accessSync(file, constants.W_OK);
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    throw new ConfigError(path, `unable to open file '${file}': ${reasons[code] ?? message}`);
  }
}

function compile(message: FileAccessLog, path: string, scope: CompileScope): AccessLogSink {
  const file = requireText(message.path, `${path}.path`);
  const unknown = findUnknownFormatter(message.log_format, `${path}.log_format`);
  if (unknown !== null) {
    scope.warn(path, `formatter ${unknown} is not implemented`);
    return { kind: 'inert', name: 'envoy.access_loggers.file' };
  }
  if (file.includes('\0')) throw new ConfigError(`${path}.path`, 'value must not contain NUL');
  requireWritable(file, `${path}.path`);
  return { kind: 'file', path: file, format: compileFileFormat(message, path) };
}

export const fileAccessLogger = defineExtension({
  kind: 'envoy.access_loggers.file',
  message: 'envoy.extensions.access_loggers.file.v3.FileAccessLog',
  compile,
  fields: {
    'envoy.extensions.access_loggers.file.v3.FileAccessLog': classify({
      implemented: 'path format json_format typed_json_format log_format',
    }),
  },
});
