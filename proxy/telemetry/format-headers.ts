/** Operators that read headers, and what is in them. */
import type { HeaderMap } from '../http/header-map.ts';
import { internHeaderName } from '../http/header-name.ts';
import {
  type FormatContext,
  FormatError,
  type FormatValue,
  type Operator,
  type OperatorFactory,
  textOrNull,
} from './format-operator.ts';

/** The value of a header or pseudo header (lower case name), or null. */
function readHeader(headers: HeaderMap | null, name: string): string | null {
  if (headers === null) return null;
  switch (name) {
    case ':method':
      return headers.method || null;
    case ':path':
      return headers.path || null;
    case ':authority':
    case 'host':
      return headers.authority || null;
    case ':scheme':
      return headers.scheme || null;
    case ':protocol':
      return headers.protocol || null;
    case ':status':
      return headers.status === 0 ? null : String(headers.status);
    default:
      return headers.get(name) ?? null;
  }
}

function headerOperator(select: (context: FormatContext) => HeaderMap | null): OperatorFactory {
  return (argument, _maxLength, name) => {
    if (argument === null || argument === '') throw new FormatError(`${name} requires a header name`);
    const names = argument.split('?').map(internHeaderName);
    if (names.length > 2) throw new FormatError(`More than 1 alternative header specified in token: ${argument}`);
    const [main, alternative] = names;
    return context => {
      const headers = select(context);
      return readHeader(headers, main) ?? (alternative === undefined ? null : readHeader(headers, alternative));
    };
  };
}

function withoutQuery(value: FormatValue): FormatValue {
  if (typeof value !== 'string') return value;
  const query = value.indexOf('?');
  return query === -1 ? value : value.slice(0, query);
}

const requestHeader = headerOperator(context => context.requestHeaders);

function pathOperator(argument: string | null): Operator {
  const [query = 'WQ', source = 'ORIG_OR_PATH'] = (argument ?? '').split(':').map(part => (part === '' ? undefined : part));
  if (!['WQ', 'NQ'].includes(query) || !['ORIG', 'PATH', 'ORIG_OR_PATH'].includes(source)) {
    throw new FormatError(`Invalid PATH option: '${argument}', only 'WQ'/'NQ' and 'ORIG'/'PATH'/'ORIG_OR_PATH' are allowed`);
  }
  const names = { ORIG: 'x-envoy-original-path', PATH: ':path', ORIG_OR_PATH: 'x-envoy-original-path?:path' };
  const read = requestHeader(names[source as keyof typeof names], null, 'PATH');
  return query === 'WQ' ? read : context => withoutQuery(read(context));
}

function queryParameterOperator(argument: string | null): Operator {
  if (!argument) throw new FormatError('QUERY_PARAM requires a parameter name');
  return context => {
    const path = context.requestHeaders?.path ?? '';
    const query = path.indexOf('?');
    if (query === -1) return null;
    for (const pair of path.slice(query + 1).split('&')) {
      const equals = pair.indexOf('=');
      if ((equals === -1 ? pair : pair.slice(0, equals)) === argument)
        return equals === -1 ? null : pair.slice(equals + 1) || null;
    }
    return null;
  };
}

/** Everything behind the '?'; with `ORIG` of the path before it was rewritten. */
function queryOperator(argument: string | null): Operator {
  const source = argument === null || argument === 'ORIG' ? 'ORIG_OR_PATH' : argument;
  const read = pathOperator(`WQ:${source}`);
  return context => {
    const path = read(context);
    const query = typeof path === 'string' ? path.indexOf('?') : -1;
    return query === -1 ? null : (path as string).slice(query + 1) || null;
  };
}

const serverNameSources = ['SNI_ONLY', 'SNI_FIRST', 'HOST_FIRST'];

/** The SNI, or the Host header instead of one or the other. */
export function serverNameOperator(argument: string | null): Operator {
  const [source = 'SNI_ONLY', hostSource = 'ORIG_OR_HOST'] = (argument ?? '').split(':').map(part => part || undefined);
  const names: { readonly [source: string]: string | undefined } = {
    ORIG: 'x-envoy-original-host',
    HOST: ':authority',
    ORIG_OR_HOST: 'x-envoy-original-host?:authority',
  };
  const name = names[hostSource];
  if (!serverNameSources.includes(source) || name === undefined) {
    throw new FormatError(`Invalid REQUESTED_SERVER_NAME option: '${argument}'`);
  }
  const host = requestHeader(name, null, 'REQUESTED_SERVER_NAME');
  const sni: Operator = context => textOrNull(context.info.downstream.requestedServerName);
  if (source === 'SNI_ONLY') return sni;
  return source === 'SNI_FIRST' ? context => sni(context) ?? host(context) : context => host(context) ?? sni(context);
}

/** Names of pseudo headers count as well. */
export function countRequestBytes({ requestHeaders }: FormatContext): number {
  if (requestHeaders === null) return 0;
  const { method, path, authority, scheme, byteSize } = requestHeaders;
  const present = [method && ':method', path && ':path', authority && ':authority', scheme && ':scheme'];
  return present.reduce((size, name) => size + name.length, byteSize);
}

export function countResponseBytes({ responseHeaders }: FormatContext): number {
  return responseHeaders === null ? 0 : responseHeaders.byteSize + ':status'.length + 3;
}

const responseHeader = headerOperator(context => context.responseHeaders);
const responseTrailer = headerOperator(context => context.responseTrailers);

export const headerOperators: { readonly [name: string]: OperatorFactory | undefined } = {
  REQ: requestHeader,
  REQUEST_HEADER: requestHeader,
  RESP: responseHeader,
  RESPONSE_HEADER: responseHeader,
  TRAILER: responseTrailer,
  RESPONSE_TRAILER: responseTrailer,
  REQ_WITHOUT_QUERY: (argument, maxLength, name) => {
    const read = requestHeader(argument, maxLength, name);
    return context => withoutQuery(read(context));
  },
  PATH: pathOperator,
  QUERY_PARAM: queryParameterOperator,
  QUERY_PARAMS: queryOperator,
};
