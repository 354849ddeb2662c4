/** `envoy.config.core.v3.SubstitutionFormatString` and single format strings: checked here, used by the access log. */
import type { protos } from '../../../protos/messages.ts';
import { type StructMessage, structToJson } from '../../../protos/struct.ts';
import { compileFormat, compileJsonFormat } from '../../telemetry/formatter.ts';
import type { AccessLogFormat, JsonFormat } from '../model/access-log.ts';
import { ConfigError } from './config-error.ts';
import { readTextSource } from './data-source.ts';
import { typeNameOf } from './typed-config.ts';

/** Envoy's format of HTTP access logs where none is given. */
export const defaultHttpFormat =
  '[%START_TIME%] "%REQUEST_HEADER(:METHOD)% %REQUEST_HEADER(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% ' +
  '%RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESPONSE_HEADER(X-ENVOY-UPSTREAM-SERVICE-TIME)% ' +
  '"%REQUEST_HEADER(X-FORWARDED-FOR)%" "%REQUEST_HEADER(USER-AGENT)%" "%REQUEST_HEADER(X-REQUEST-ID)%" ' +
  '"%REQUEST_HEADER(:AUTHORITY)%" "%UPSTREAM_HOST%"\n';

/** Operators that need no formatter extension here: they are built in. */
const builtInFormatters = new Set([
  'envoy.extensions.formatter.cel.v3.Cel',
  'envoy.extensions.formatter.metadata.v3.Metadata',
  'envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery',
]);

/** @throws ConfigError if the text is no format string. */
export function requireFormat(format: string, path: string): string {
  try {
    compileFormat(format);
  } catch (error) {
    throw new ConfigError(path, (error as Error).message);
  }
  return format;
}

/** The name of a formatter extension that is not implemented, or null. `path` is that of the message. */
export function findUnknownFormatter(
  message: protos.envoy.config.core.v3.SubstitutionFormatString | null,
  path: string,
): string | null {
  for (const [i, formatter] of (message?.formatters ?? []).entries()) {
    const formatterPath = `${path}.formatters[${i}].typed_config`;
    const typeName = formatter.typed_config === null ? '' : typeNameOf(formatter.typed_config, formatterPath);
    if (!builtInFormatters.has(typeName)) return typeName || formatter.name;
  }
  return null;
}

/** `path` is that of the message. */
export function compileFormatString(
  message: protos.envoy.config.core.v3.SubstitutionFormatString,
  path: string,
): AccessLogFormat {
  const omitEmpty = message.omit_empty_values;
  switch (message.format) {
    case 'text_format':
      return { kind: 'text', format: requireFormat(message.text_format!, `${path}.text_format`), omitEmpty };
    case 'text_format_source': {
      const text = readTextSource(message.text_format_source, `${path}.text_format_source`)!;
      return { kind: 'text', format: requireFormat(text, `${path}.text_format_source`), omitEmpty };
    }
    case 'json_format':
      return compileJson(message.json_format!, `${path}.json_format`, omitEmpty);
    default:
      throw new ConfigError(path, 'format is required');
  }
}

/** Sorted as Envoy prints JSON logs: by key. */
export function compileJson(struct: protos.google.protobuf.Struct, path: string, omitEmpty: boolean): AccessLogFormat {
  const fields = structToJson(struct as StructMessage) as JsonFormat;
  try {
    compileJsonFormat(fields);
  } catch (error) {
    throw new ConfigError(path, (error as Error).message);
  }
  return { kind: 'json', fields, omitEmpty };
}
