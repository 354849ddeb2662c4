/** `envoy.access_loggers.stdout` and `envoy.access_loggers.stderr`: files of the process. */
import type { protos } from '../../../../protos/messages.ts';
import { type AccessLogSink, defineExtension } from '../../../config/compile/extension.ts';
import { classify } from '../../../config/compile/field-table.ts';
import { compileFormatString, defaultHttpFormat, findUnknownFormatter } from '../../../config/compile/format.ts';
import type { CompileScope } from '../../../config/compile/scope.ts';

type StreamAccessLog = { readonly log_format: protos.envoy.config.core.v3.SubstitutionFormatString | null };

function compileTo(file: string, kind: string) {
  return (message: StreamAccessLog, path: string, scope: CompileScope): AccessLogSink => {
    const unknown = findUnknownFormatter(message.log_format, `${path}.log_format`);
    if (unknown !== null) {
      scope.warn(path, `formatter ${unknown} is not implemented`);
      return { kind: 'inert', name: kind };
    }
    if (message.log_format === null) {
      return { kind: 'file', path: file, format: { kind: 'text', format: defaultHttpFormat, omitEmpty: false } };
    }
    return { kind: 'file', path: file, format: compileFormatString(message.log_format, `${path}.log_format`) };
  };
}

export const stdoutAccessLogger = defineExtension({
  kind: 'envoy.access_loggers.stdout',
  message: 'envoy.extensions.access_loggers.stream.v3.StdoutAccessLog',
  compile: compileTo('/dev/stdout', 'envoy.access_loggers.stdout'),
  fields: {
    'envoy.extensions.access_loggers.stream.v3.StdoutAccessLog': classify({ implemented: 'log_format' }),
  },
});

export const stderrAccessLogger = defineExtension({
  kind: 'envoy.access_loggers.stderr',
  message: 'envoy.extensions.access_loggers.stream.v3.StderrAccessLog',
  compile: compileTo('/dev/stderr', 'envoy.access_loggers.stderr'),
  fields: {
    'envoy.extensions.access_loggers.stream.v3.StderrAccessLog': classify({ implemented: 'log_format' }),
  },
});
