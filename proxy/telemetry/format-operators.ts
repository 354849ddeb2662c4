/** The command operators of format strings: operator name and arguments to a function of the stream. */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Address } from '../config/model/address.ts';
import { formatAddress } from '../config/model/address.ts';
import { createAttributes } from './cel/attributes.ts';
import { compileCel, printCelValue } from './cel/cel.ts';
import { certificateOperatorsByName, validityOperators } from './format-certificates.ts';
import { compileCommonDuration, durationOperators } from './format-durations.ts';
import { countRequestBytes, countResponseBytes, headerOperators, serverNameOperator } from './format-headers.ts';
import { metadataOperators } from './format-metadata.ts';
import { FormatError, type FormatValue, type Operator, type OperatorFactory, ofInfo, textOrNull } from './format-operator.ts';
import { grpcStatusText } from './grpc-status.ts';
import { toByteText } from './json-text.ts';
import { maskAddress } from './network-text.ts';
import { formatLongResponseFlags, formatResponseFlags } from './response-flags.ts';
import type { HostView } from '../upstream/views.ts';
import type { StreamInfo } from './stream-info.ts';
import { localTimeOperator, timeOperator } from './time-format.ts';

/**
 * @throws FormatError for an unknown name or a wrong argument.
 */
export function compileOperator(name: string, argument: string | null, maxLength: number | null): Operator {
  const factory = factories[name];
  if (factory !== undefined) return truncate(factory(argument, maxLength, name), maxLength);
  const plain = plainOperators[name] ?? durationOperators[name];
  if (plain === undefined) throw new FormatError(`Not supported field in StreamInfo: ${name}`);
  if (argument !== null) throw new FormatError(`${name} does not take an argument`);
  return truncate(plain, maxLength);
}

function truncate(operator: Operator, maxLength: number | null): Operator {
  if (maxLength === null) return operator;
  return context => {
    const value = operator(context);
    return typeof value === 'string' && value.length > maxLength ? value.slice(0, maxLength) : value;
  };
}

// Addresses

function hostOf(address: Address | null): FormatValue {
  if (address === null) return null;
  return address.kind === 'socket' ? address.address : formatAddress(address);
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

function ofAttempts(read: (host: HostView) => string): Operator {
  return ofInfo(info => textOrNull(info.attemptedHosts.map(read).join(',')));
}

/** What Envoy can tell and nothing here knows, or what only other protocols have: missing values. */
const unknownHere = `SPAN_ID TLS_JA3_FINGERPRINT TLS_JA4_FINGERPRINT ROUNDTRIP_DURATION BYTES_RETRANSMITTED PACKETS_RETRANSMITTED
  DOWNSTREAM_LOCAL_CLOSE_REASON UPSTREAM_LOCAL_CLOSE_REASON DOWNSTREAM_DETECTED_CLOSE_TYPE UPSTREAM_DETECTED_CLOSE_TYPE
  DOWNSTREAM_HANDSHAKE_DURATION UPSTREAM_CONNECTION_POOL_READY_DURATION DOWNSTREAM_PEER_OTHERNAME_SAN
  DOWNSTREAM_LOCAL_OTHERNAME_SAN DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256 DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1
  DOWNSTREAM_PEER_CHAIN_SERIALS UPSTREAM_CONNECTION_IDS_ATTEMPTED DOWNSTREAM_HEADER_BYTES_SENT
  DOWNSTREAM_HEADER_BYTES_RECEIVED DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED
  UPSTREAM_HEADER_BYTES_SENT UPSTREAM_HEADER_BYTES_RECEIVED UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT
  UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED`;

const plainOperators: { readonly [name: string]: Operator | undefined } = {
  PROTOCOL: ofInfo(info => textOrNull(info.protocol)),
  UPSTREAM_PROTOCOL: ofInfo(info => textOrNull(info.upstreamProtocol)),
  RESPONSE_CODE: ofInfo(info => info.responseCode),
  CONNECTION_TERMINATION_DETAILS: ofInfo(info => textOrNull(info.connectionTerminationDetails)),
  RESPONSE_FLAGS: ofInfo(info => formatResponseFlags(info.responseFlagSequence)),
  RESPONSE_FLAGS_LONG: ofInfo(info => formatLongResponseFlags(info.responseFlagSequence)),
  UPSTREAM_TRANSPORT_FAILURE_REASON: ofInfo(info => textOrNull(info.upstreamTransportFailureReason.replaceAll(' ', '_'))),
  DOWNSTREAM_TRANSPORT_FAILURE_REASON: ofInfo(info => textOrNull(info.downstream.transportFailureReason.replaceAll(' ', '_'))),
  BYTES_RECEIVED: ofInfo(info => info.bytesReceived),
  BYTES_SENT: ofInfo(info => info.bytesSent),
  DOWNSTREAM_WIRE_BYTES_RECEIVED: ofInfo(info => info.wireBytesReceived),
  DOWNSTREAM_WIRE_BYTES_SENT: ofInfo(info => info.wireBytesSent),
  UPSTREAM_WIRE_BYTES_RECEIVED: ofInfo(info => info.upstreamWireBytesReceived),
  UPSTREAM_WIRE_BYTES_SENT: ofInfo(info => info.upstreamWireBytesSent),
  UPSTREAM_HOST: ofInfo(info => textOrNull(info.upstreamHost?.addressText)),
  UPSTREAM_HOST_NAME: ofInfo(info => textOrNull(info.upstreamHost?.hostname || info.upstreamHost?.addressText)),
  UPSTREAM_HOST_NAME_WITHOUT_PORT: ofInfo(info =>
    textOrNull(info.upstreamHost?.hostname || (info.upstreamHost ? (hostOf(info.upstreamHost.address) as string) : null)),
  ),
  UPSTREAM_HOSTS_ATTEMPTED: ofAttempts(host => host.addressText),
  UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT: ofAttempts(host => hostOf(host.address) as string),
  UPSTREAM_HOST_NAMES_ATTEMPTED: ofAttempts(host => host.hostname || host.addressText),
  UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT: ofAttempts(host => host.hostname || (hostOf(host.address) as string)),
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
  ...certificateOperatorsByName,
  ROUTE_NAME: ofInfo(info => textOrNull(info.routeName)),
  VIRTUAL_CLUSTER_NAME: () => null,
  FILTER_CHAIN_NAME: ofInfo(info => textOrNull(info.downstream.filterChainName)),
  LISTENER_NAME: ofInfo(info => textOrNull(info.downstream.listenerName)),
  CONNECTION_ID: ofInfo(info => info.downstream.id),
  STREAM_ID: context => textOrNull(context.requestHeaders?.get('x-request-id')),
  TRACE_ID: ofInfo(info => textOrNull(info.traceId)),
  UNIQUE_ID: () => randomUUID(),
  HOSTNAME: () => hostname(),
  ACCESS_LOG_TYPE: () => 'DownstreamEnd',
  LOCAL_REPLY_BODY: context => context.localReplyBody ?? '',
  CUSTOM_FLAGS: () => '',
  DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID: () => '',
  ...Object.fromEntries(unknownHere.split(/\s+/).map(name => [name, () => null])),
  REQUEST_HEADERS_BYTES: countRequestBytes,
  RESPONSE_HEADERS_BYTES: countResponseBytes,
  RESPONSE_TRAILERS_BYTES: context => context.responseTrailers?.byteSize ?? 0,
  GRPC_STATUS_NUMBER: ofInfo(info => (info.grpcStatus < 0 ? null : info.grpcStatus)),
};

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

function celOperator(isTyped: boolean): OperatorFactory {
  return (argument, _maxLength, name) => {
    if (!argument) throw new FormatError(`${name} requires an expression`);
    const evaluate = compileExpression(argument);
    return context => {
      const value = evaluate(createAttributes(context, null)) ?? null;
      return isTyped || value === null ? (value as FormatValue) : (printCelValue(value) ?? null);
    };
  };
}

/** @throws FormatError */
function compileExpression(text: string): ReturnType<typeof compileCel> {
  try {
    return compileCel(text);
  } catch (error) {
    throw new FormatError(`Not able to parse expression: ${(error as Error).message}`);
  }
}

/** The network of that many bits instead of the address. */
function networkOperator(read: (info: StreamInfo) => Address): OperatorFactory {
  return argument => {
    if (argument === null) return ofInfo(info => hostOf(read(info)));
    const bits = Number(argument);
    if (!Number.isInteger(bits) || bits < 0) throw new FormatError(`Invalid mask prefix length: ${argument}`);
    return ofInfo(info => {
      const address = read(info);
      return address.kind === 'socket' ? maskAddress(address.address, bits) : null;
    });
  };
}

const factories: { readonly [name: string]: OperatorFactory | undefined } = {
  ...headerOperators,
  ...metadataOperators,
  ...validityOperators,
  START_TIME: timeOperator(info => info.startTimeMs),
  START_TIME_LOCAL: localTimeOperator(info => info.startTimeMs),
  EMIT_TIME: timeOperator(() => Date.now()),
  EMIT_TIME_LOCAL: localTimeOperator(() => Date.now()),
  DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: networkOperator(info => info.downstream.remoteAddress),
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT: networkOperator(info => info.downstream.directRemoteAddress),
  REQUESTED_SERVER_NAME: serverNameOperator,
  // Nothing here has a space in it that Envoy would replace.
  RESPONSE_CODE_DETAILS: () => ofInfo(info => textOrNull(info.responseCodeDetails)),
  GRPC_STATUS: grpcStatusOperator,
  ENVIRONMENT: argument => {
    if (!argument) throw new FormatError('ENVIRONMENT requires a variable name');
    const value = toByteText((Object.hasOwn(process.env, argument) ? process.env[argument] : undefined) ?? '-');
    return () => value;
  },
  COMMON_DURATION: compileCommonDuration,
  // Filters here put nothing there.
  UPSTREAM_FILTER_STATE: () => () => null,
  CEL: celOperator(false),
  TYPED_CEL: celOperator(true),
};
