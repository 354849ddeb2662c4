/** The command operators of format strings: operator name and arguments to a function of the stream. */
import { hostname } from 'node:os';
import type { Address } from '../config/model/address.ts';
import { formatAddress } from '../config/model/address.ts';
import type { HeaderMap } from '../http/header-map.ts';
import type { CertificateInfo, ConnectionInfo } from '../network/connection.ts';
import { compileCommonDuration, durationOperators } from './format-durations.ts';
import { FormatError } from './format-operator.ts';
import type { FormatContext, FormatValue, Operator } from './format-operator.ts';
import { grpcStatusText } from './grpc-status.ts';
import { toByteText } from './json-text.ts';
import { formatLongResponseFlags, formatResponseFlags } from './response-flags.ts';
import type { StreamInfo } from './stream-info.ts';
import { compileTimeFormat, formatDefaultTime } from './time-format.ts';

type OperatorFactory = (argument: string | null, maxLength: number | null, name: string) => Operator;

/**
 * @throws FormatError for an unknown name or a wrong argument.
 */
export function compileOperator(name: string, argument: string | null, maxLength: number | null): Operator {
  const plain = plainOperators[name] ?? durationOperators[name];
  if (plain !== undefined) {
    if (argument !== null) throw new FormatError(`${name} does not take an argument`);
    return truncate(plain, maxLength);
  }
  const factory = factories[name];
  if (factory === undefined) throw new FormatError(`Not supported field in StreamInfo: ${name}`);
  return truncate(factory(argument, maxLength, name), maxLength);
}

function truncate(operator: Operator, maxLength: number | null): Operator {
  if (maxLength === null) return operator;
  return context => {
    const value = operator(context);
    return typeof value === 'string' && value.length > maxLength ? value.slice(0, maxLength) : value;
  };
}

/** '' is a missing value. */
function textOrNull(text: string | null | undefined): FormatValue {
  return text === undefined || text === null || text === '' ? null : toByteText(text);
}

function ofInfo(read: (info: StreamInfo) => FormatValue): Operator {
  return context => read(context.info);
}

// Addresses

function hostOf(address: Address | null): FormatValue {
  if (address === null) return null;
  return address.kind === 'socket' ? address.address : address.path;
}

function portOf(address: Address | null): FormatValue {
  return address !== null && address.kind === 'socket' ? address.port : null;
}

function addressOperators(name: string, read: (info: StreamInfo) => Address | null): { [name: string]: Operator } {
  return {
    [name]: ofInfo(info => {
      const address = read(info);
      return address === null ? null : formatAddress(address);
    }),
    [`${name}_WITHOUT_PORT`]: ofInfo(info => hostOf(read(info))),
    [name.replace('ADDRESS', 'PORT')]: ofInfo(info => portOf(read(info))),
  };
}

// TLS

function certificateOperators(
  prefix: string,
  side: 'PEER' | 'LOCAL',
  connection: (info: StreamInfo) => ConnectionInfo | null,
): { [name: string]: Operator } {
  const key = side === 'PEER' ? 'peer' : 'local';
  const of = (read: (certificate: CertificateInfo) => string) =>
    ofInfo(info => {
      const certificate = connection(info)?.tls?.[key];
      return certificate ? textOrNull(read(certificate)) : null;
    });
  const name = `${prefix}_${side}`;
  return {
    [`${name}_URI_SAN`]: of(certificate => certificate.uriSans.join(',')),
    [`${name}_DNS_SAN`]: of(certificate => certificate.dnsSans.join(',')),
    [`${name}_SUBJECT`]: of(certificate => certificate.subject),
    [`${name}_ISSUER`]: of(certificate => certificate.issuer),
    [`${name}_SERIAL`]: of(certificate => certificate.serialNumber.toLowerCase()),
    [`${name}_FINGERPRINT_256`]: of(certificate => certificate.sha256),
    [`${name}_CERT`]: of(certificate => certificate.pem),
  };
}

function tlsOperators(prefix: string, connection: (info: StreamInfo) => ConnectionInfo | null): { [name: string]: Operator } {
  return {
    [`${prefix}_TLS_VERSION`]: ofInfo(info => textOrNull(connection(info)?.tls?.version)),
    [`${prefix}_TLS_CIPHER`]: ofInfo(info => textOrNull(connection(info)?.tls?.cipher)),
    [`${prefix}_TLS_SESSION_ID`]: ofInfo(info => textOrNull(connection(info)?.tls?.sessionId)),
    ...certificateOperators(prefix, 'PEER', connection),
    ...certificateOperators(prefix, 'LOCAL', connection),
  };
}

const downstream = (info: StreamInfo): ConnectionInfo => info.downstream;
const upstream = (info: StreamInfo): ConnectionInfo | null => info.upstreamConnection;

const plainOperators: { readonly [name: string]: Operator | undefined } = {
  PROTOCOL: ofInfo(info => textOrNull(info.protocol)),
  UPSTREAM_PROTOCOL: ofInfo(info => textOrNull(info.upstreamProtocol)),
  RESPONSE_CODE: ofInfo(info => info.responseCode),
  RESPONSE_CODE_DETAILS: ofInfo(info => textOrNull(info.responseCodeDetails)),
  CONNECTION_TERMINATION_DETAILS: ofInfo(info => textOrNull(info.connectionTerminationDetails)),
  RESPONSE_FLAGS: ofInfo(info => formatResponseFlags(info.responseFlagSequence)),
  RESPONSE_FLAGS_LONG: ofInfo(info => formatLongResponseFlags(info.responseFlagSequence)),
  UPSTREAM_TRANSPORT_FAILURE_REASON: ofInfo(info => textOrNull(info.upstreamTransportFailureReason.replaceAll(' ', '_'))),
  DOWNSTREAM_TRANSPORT_FAILURE_REASON: ofInfo(info => textOrNull(info.downstream.transportFailureReason.replaceAll(' ', '_'))),
  BYTES_RECEIVED: ofInfo(info => info.bytesReceived),
  BYTES_SENT: ofInfo(info => info.bytesSent),
  DOWNSTREAM_WIRE_BYTES_RECEIVED: ofInfo(info => info.wireBytesReceived),
  DOWNSTREAM_WIRE_BYTES_SENT: ofInfo(info => info.wireBytesSent),
  UPSTREAM_HOST: ofInfo(info => textOrNull(info.upstreamHost?.addressText)),
  UPSTREAM_HOST_NAME: ofInfo(info => textOrNull(info.upstreamHost?.hostname || info.upstreamHost?.addressText)),
  UPSTREAM_HOST_NAME_WITHOUT_PORT: ofInfo(info =>
    textOrNull(info.upstreamHost?.hostname || (info.upstreamHost ? (hostOf(info.upstreamHost.address) as string) : null)),
  ),
  UPSTREAM_CLUSTER: ofInfo(info => textOrNull(info.cluster ? info.cluster.model.statName || info.cluster.name : null)),
  UPSTREAM_CLUSTER_RAW: ofInfo(info => textOrNull(info.cluster?.name)),
  UPSTREAM_CONNECTION_ID: ofInfo(info => info.upstreamConnection?.id ?? null),
  UPSTREAM_REQUEST_ATTEMPT_COUNT: ofInfo(info => info.upstreamRequestAttemptCount),
  ...addressOperators('UPSTREAM_LOCAL_ADDRESS', info => info.upstreamConnection?.localAddress ?? null),
  ...addressOperators(
    'UPSTREAM_REMOTE_ADDRESS',
    info => info.upstreamConnection?.remoteAddress ?? info.upstreamHost?.address ?? null,
  ),
  ...addressOperators('DOWNSTREAM_LOCAL_ADDRESS', info => info.downstream.localAddress),
  ...addressOperators('DOWNSTREAM_DIRECT_LOCAL_ADDRESS', info => info.downstream.directLocalAddress),
  ...addressOperators('DOWNSTREAM_REMOTE_ADDRESS', info => info.downstream.remoteAddress),
  ...addressOperators('DOWNSTREAM_DIRECT_REMOTE_ADDRESS', info => info.downstream.directRemoteAddress),
  ...tlsOperators('DOWNSTREAM', downstream),
  ...tlsOperators('UPSTREAM', upstream),
  REQUESTED_SERVER_NAME: ofInfo(info => textOrNull(info.downstream.requestedServerName)),
  ROUTE_NAME: ofInfo(info => textOrNull(info.routeName)),
  VIRTUAL_HOST_NAME: ofInfo(info => textOrNull(info.virtualHostName)),
  VIRTUAL_CLUSTER_NAME: () => null,
  FILTER_CHAIN_NAME: ofInfo(info => textOrNull(info.downstream.filterChainName)),
  LISTENER_NAME: ofInfo(info => textOrNull(info.downstream.listenerName)),
  CONNECTION_ID: ofInfo(info => info.downstream.id),
  STREAM_ID: context => textOrNull(context.requestHeaders?.get('x-request-id')),
  TRACE_ID: ofInfo(info => textOrNull(info.traceId)),
  HOSTNAME: () => hostname(),
  ACCESS_LOG_TYPE: () => 'DownstreamEnd',
  LOCAL_REPLY_BODY: () => '',
  REQUEST_HEADERS_BYTES: context => context.requestHeaders?.byteSize ?? 0,
  RESPONSE_HEADERS_BYTES: context => context.responseHeaders?.byteSize ?? 0,
  RESPONSE_TRAILERS_BYTES: context => context.responseTrailers?.byteSize ?? 0,
  GRPC_STATUS_NUMBER: ofInfo(info => (info.grpcStatus < 0 ? null : info.grpcStatus)),
};

// Headers

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
    const names = argument.toLowerCase().split('?');
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

// Metadata and filter state

/** Follows `a:b:c` into nested plain objects. */
function digInto(value: unknown, path: readonly string[]): FormatValue {
  let current = value;
  for (const key of path) {
    if (typeof current !== 'object' || current === null) return null;
    current = (current as { readonly [key: string]: unknown })[key];
  }
  if (current === undefined || current === null) return null;
  return typeof current === 'string' ? toByteText(current) : (current as FormatValue);
}

type MetadataReader = (info: StreamInfo) => { readonly [namespace: string]: unknown } | null | undefined;

const metadataSources: { readonly [name: string]: MetadataReader } = {
  DYNAMIC: info => info.dynamicMetadata,
  CLUSTER: info => info.cluster?.model.metadata,
  UPSTREAM_HOST: info => info.upstreamHost?.metadata,
  ROUTE: info => info.route?.metadata,
  LISTENER: () => null,
  VIRTUAL_HOST: () => null,
};

function metadataOperator(source: string): OperatorFactory {
  const read = metadataSources[source];
  return (argument, _maxLength, name) => {
    if (!argument) throw new FormatError(`${name} requires a namespace`);
    const path = argument.split(':');
    return context => digInto(read(context.info), path);
  };
}

function anyMetadataOperator(argument: string | null, maxLength: number | null, name: string): Operator {
  const [source, ...rest] = (argument ?? '').split(':');
  if (metadataSources[source] === undefined) throw new FormatError(`${source} is not supported.`);
  return metadataOperator(source)(rest.join(':'), maxLength, name);
}

function filterStateOperator(argument: string | null): Operator {
  const [key, form = 'TYPED', field] = (argument ?? '').split(':');
  if (!key) throw new FormatError('Invalid filter state configuration, key cannot be empty.');
  if (!['PLAIN', 'TYPED', 'FIELD'].includes(form)) {
    throw new FormatError(`Invalid filter state serialize type, only support PLAIN/TYPED/FIELD.`);
  }
  return context => {
    const state = context.info.getFilterState(key);
    if (state === undefined || state === null) return null;
    return form === 'FIELD' ? digInto(state, [field ?? '']) : digInto(state, []);
  };
}

function grpcStatusOperator(argument: string | null): Operator {
  const form = argument || 'CAMEL_STRING';
  if (!['CAMEL_STRING', 'SNAKE_STRING', 'NUMBER'].includes(form)) {
    throw new FormatError('GrpcStatusFormatter only supports CAMEL_STRING, SNAKE_STRING or NUMBER.');
  }
  return context => {
    const status = context.info.grpcStatus;
    if (status < 0) return null;
    return form === 'NUMBER' ? status : grpcStatusText(status, form === 'SNAKE_STRING');
  };
}

function timeOperator(read: (context: FormatContext) => number | null): OperatorFactory {
  return argument => {
    const format = argument ? compileTimeFormat(argument) : formatDefaultTime;
    return context => {
      const timeMs = read(context);
      return timeMs === null ? null : format(timeMs);
    };
  };
}

const responseHeader = headerOperator(context => context.responseHeaders);
const responseTrailer = headerOperator(context => context.responseTrailers);

const factories: { readonly [name: string]: OperatorFactory | undefined } = {
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
  START_TIME: timeOperator(context => context.info.startTimeMs),
  START_TIME_LOCAL: timeOperator(context => context.info.startTimeMs),
  EMIT_TIME: timeOperator(() => Date.now()),
  DOWNSTREAM_PEER_CERT_V_START: timeOperator(context => context.info.downstream.tls?.peer?.validFromMs ?? null),
  DOWNSTREAM_PEER_CERT_V_END: timeOperator(context => context.info.downstream.tls?.peer?.validToMs ?? null),
  UPSTREAM_PEER_CERT_V_START: timeOperator(context => context.info.upstreamConnection?.tls?.peer?.validFromMs ?? null),
  UPSTREAM_PEER_CERT_V_END: timeOperator(context => context.info.upstreamConnection?.tls?.peer?.validToMs ?? null),
  DYNAMIC_METADATA: metadataOperator('DYNAMIC'),
  CLUSTER_METADATA: metadataOperator('CLUSTER'),
  UPSTREAM_METADATA: metadataOperator('UPSTREAM_HOST'),
  METADATA: anyMetadataOperator,
  FILTER_STATE: filterStateOperator,
  GRPC_STATUS: grpcStatusOperator,
  ENVIRONMENT: argument => {
    if (!argument) throw new FormatError('ENVIRONMENT requires a variable name');
    const value = toByteText(process.env[argument] ?? '-');
    return () => value;
  },
  COMMON_DURATION: compileCommonDuration,
};
