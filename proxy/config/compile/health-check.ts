/** `envoy.config.core.v3.HealthCheck`. */
import type { protos } from '../../../protos/messages.ts';
import { type StructMessage, structToJson } from '../../../protos/struct.ts';
import type { GrpcCheckModel, HealthCheckModel, HttpCheckModel, StatusRange, TcpCheckModel } from '../model/health-check.ts';
import type { HeaderValueOption } from '../model/route.ts';
import { ConfigError } from './config-error.ts';
import { compileHeaderAdditions } from './header-mutations.ts';
import { compileStringMatcher, requireHeaderName } from './matchers.ts';
import { durationMs, positiveDurationMs, requireText, unwrap } from './scalars.ts';
import type { CompileScope } from './scope.ts';

type HealthCheck = protos.envoy.config.core.v3.HealthCheck;
type Payload = protos.envoy.config.core.v3.HealthCheck.Payload;
type HttpHealthCheck = protos.envoy.config.core.v3.HealthCheck.HttpHealthCheck;

const defaultNoTrafficIntervalMs = 60_000;
const defaultResponseBufferBytes = 1024;
const methods = ['GET', 'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'] as const;
const methodsWithBody: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH', 'OPTIONS']);
const codecs = ['http1', 'http2'] as const;
const okRange: StatusRange = { start: 200, end: 201 };

/** The one check of a cluster; null if it has none. */
export function compileHealthCheck(messages: readonly HealthCheck[], path: string, scope: CompileScope): HealthCheckModel | null {
  if (messages.length > 1) throw new ConfigError(path, 'Multiple health checks not supported');
  return messages.length === 0 ? null : compileOne(messages[0], `${path}[0]`, scope);
}

function compileOne(message: HealthCheck, path: string, scope: CompileScope): HealthCheckModel {
  const at = (field: string): string => `${path}.${field}`;
  const time = (field: `${string}interval` & keyof HealthCheck, fallback: number): number =>
    positiveDurationMs(message[field] as HealthCheck['interval'], fallback, at(field));
  const intervalMs = requireTime(message.interval, at('interval'));
  const noTrafficIntervalMs = time('no_traffic_interval', defaultNoTrafficIntervalMs);
  const unhealthyIntervalMs = time('unhealthy_interval', intervalMs);
  return {
    timeoutMs: requireTime(message.timeout, at('timeout')),
    intervalMs,
    noTrafficIntervalMs,
    noTrafficHealthyIntervalMs: time('no_traffic_healthy_interval', noTrafficIntervalMs),
    unhealthyIntervalMs,
    unhealthyEdgeIntervalMs: time('unhealthy_edge_interval', unhealthyIntervalMs),
    healthyEdgeIntervalMs: time('healthy_edge_interval', intervalMs),
    initialJitterMs: durationMs(message.initial_jitter, 0, at('initial_jitter')),
    intervalJitterMs: durationMs(message.interval_jitter, 0, at('interval_jitter')),
    intervalJitterPercent: message.interval_jitter_percent,
    unhealthyThreshold: requireCount(message.unhealthy_threshold, at('unhealthy_threshold')),
    healthyThreshold: requireCount(message.healthy_threshold, at('healthy_threshold')),
    reuseConnection: unwrap(message.reuse_connection, true),
    alpnProtocols: message.tls_options?.alpn_protocols ?? null,
    transportSocketMatch:
      message.transport_socket_match_criteria === null
        ? null
        : structToJson(message.transport_socket_match_criteria as StructMessage),
    check: compileCheck(message, path, scope),
  };
}

function requireTime(duration: HealthCheck['timeout'], path: string): number {
  if (duration === null) throw new ConfigError(path, 'value is required');
  return positiveDurationMs(duration, 0, path);
}

function requireCount(wrapper: { readonly value: number } | null, path: string): number {
  if (wrapper === null) throw new ConfigError(path, 'value is required');
  return wrapper.value;
}

function compileCheck(message: HealthCheck, path: string, scope: CompileScope): HealthCheckModel['check'] {
  if (message.http_health_check !== null) return compileHttp(message.http_health_check, `${path}.http_health_check`, scope);
  if (message.tcp_health_check !== null) return compileTcp(message.tcp_health_check, `${path}.tcp_health_check`);
  if (message.grpc_health_check !== null) return compileGrpc(message.grpc_health_check, `${path}.grpc_health_check`);
  throw new ConfigError(path, 'health_checker is required');
}

function compileHttp(message: HttpHealthCheck, path: string, scope: CompileScope): HttpCheckModel {
  const codec = codecs[message.codec_client_type];
  if (codec === undefined) throw new ConfigError(`${path}.codec_client_type`, 'HTTP3 is not implemented');
  const method = methods[message.method];
  if (method === 'CONNECT') throw new ConfigError(`${path}.method`, 'value must not be in list [6]');
  if (message.send !== null && !methodsWithBody.has(method)) {
    throw new ConfigError(`${path}.send`, `HTTP health check cannot specify a request payload with method '${method}'`);
  }
  const receive = message.receive.map((payload, i) => compilePayload(payload, `${path}.receive[${i}]`));
  const responseBufferBytes = Number(unwrap(message.response_buffer_size, defaultResponseBufferBytes));
  const expectedBytes = receive.reduce((sum, { length }) => sum + length, 0);
  if (responseBufferBytes !== 0 && expectedBytes > responseBufferBytes) {
    const problem = `The expected response length '${expectedBytes}' is over than http health response buffer size '${responseBufferBytes}'`;
    throw new ConfigError(`${path}.receive`, problem);
  }
  const expected = compileRanges(message.expected_statuses, 'expected', `${path}.expected_statuses`);
  return {
    kind: 'http',
    codec,
    method,
    path: requireText(message.path, `${path}.path`),
    host: message.host,
    headersToAdd: compileLiteralHeaders(message.request_headers_to_add, `${path}.request_headers_to_add`),
    headersToRemove: message.request_headers_to_remove.map((name, i) =>
      requireHeaderName(name, `${path}.request_headers_to_remove[${i}]`).toLowerCase(),
    ),
    send: message.send === null ? '' : compilePayload(message.send, `${path}.send`),
    receive,
    responseBufferBytes,
    expectedStatuses: expected.length === 0 ? [okRange] : expected,
    retriableStatuses: compileRanges(message.retriable_statuses, 'retriable', `${path}.retriable_statuses`),
    serviceName:
      message.service_name_matcher === null
        ? null
        : compileStringMatcher(message.service_name_matcher, `${path}.service_name_matcher`, scope),
  };
}

function compileTcp(message: protos.envoy.config.core.v3.HealthCheck.TcpHealthCheck, path: string): TcpCheckModel {
  return {
    kind: 'tcp',
    send: message.send === null ? '' : compilePayload(message.send, `${path}.send`),
    receive: message.receive.map((payload, i) => compilePayload(payload, `${path}.receive[${i}]`)),
  };
}

function compileGrpc(message: protos.envoy.config.core.v3.HealthCheck.GrpcHealthCheck, path: string): GrpcCheckModel {
  return {
    kind: 'grpc',
    service: message.service_name,
    authority: message.authority,
    headersToAdd: compileLiteralHeaders(message.initial_metadata, `${path}.initial_metadata`),
  };
}

/** Text is hexadecimal. */
function compilePayload(message: Payload, path: string): string {
  if (message.payload !== 'text') return Buffer.from(message.binary ?? new Uint8Array()).toString('latin1');
  const text = requireText(message.text ?? '', `${path}.text`);
  if (!/^(?:[0-9a-fA-F]{2})+$/.test(text)) throw new ConfigError(`${path}.text`, `invalid hex string '${text}'`);
  return Buffer.from(text, 'hex').toString('latin1');
}

function compileRanges(
  messages: readonly protos.envoy.type.v3.Int64Range[],
  kind: 'expected' | 'retriable',
  path: string,
): StatusRange[] {
  return messages.map((message, i) => {
    const [start, end] = [Number(message.start), Number(message.end)];
    const refuse = (rule: string, found: string) => {
      throw new ConfigError(`${path}[${i}]`, `Invalid http ${kind} status range: expecting ${rule}, but found ${found}`);
    };
    if (start >= end) refuse('start < end', `start=${start} and end=${end}`);
    if (start < 100) refuse('start >= 100', `start=${start}`);
    if (end > 600) refuse('end <= 600', `end=${end}`);
    return { start, end };
  });
}

/** There is no request whose properties operators could name. */
function compileLiteralHeaders(
  messages: readonly protos.envoy.config.core.v3.HeaderValueOption[],
  path: string,
): readonly HeaderValueOption[] {
  const headers = compileHeaderAdditions(messages, path);
  const index = headers.findIndex(({ value }) => value.includes('%'));
  if (index !== -1) throw new ConfigError(`${path}[${index}].header.value`, 'operators in health checks are not implemented');
  return headers;
}
