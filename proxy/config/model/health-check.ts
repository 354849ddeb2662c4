/** `envoy.config.core.v3.HealthCheck` after compilation. Payloads are latin1 text. */
import type { StringMatcher } from './matchers.ts';
import type { HeaderValueOption } from './route.ts';

export interface HealthCheckModel {
  readonly timeoutMs: number;
  /** Between checks of a host that is healthy. */
  readonly intervalMs: number;
  /** While no request has been sent to the cluster: of healthy hosts, of others. */
  readonly noTrafficHealthyIntervalMs: number;
  readonly noTrafficIntervalMs: number;
  readonly unhealthyIntervalMs: number;
  /** After a result that does not yet change the host's state: a failure, a success. */
  readonly unhealthyEdgeIntervalMs: number;
  readonly healthyEdgeIntervalMs: number;
  /** The first check comes up to this much later. */
  readonly initialJitterMs: number;
  /** Every other check comes up to this much later, in milliseconds and in percent of its interval. */
  readonly intervalJitterMs: number;
  readonly intervalJitterPercent: number;
  readonly unhealthyThreshold: number;
  readonly healthyThreshold: number;
  readonly reuseConnection: boolean;
  /** In place of the transport socket's ALPN; null: as configured. */
  readonly alpnProtocols: readonly string[] | null;
  /** Chooses the transport socket in place of the host's metadata; null: as for requests. */
  readonly transportSocketMatch: { readonly [key: string]: unknown } | null;
  readonly check: HttpCheckModel | TcpCheckModel | GrpcCheckModel;
}

export interface HttpCheckModel {
  readonly kind: 'http';
  readonly codec: 'http1' | 'http2';
  readonly method: string;
  readonly path: string;
  /** Empty: the name of the cluster. */
  readonly host: string;
  /** Values are literal. */
  readonly headersToAdd: readonly HeaderValueOption[];
  readonly headersToRemove: readonly string[];
  /** The body of the request; empty: none. */
  readonly send: string;
  /** Found in the response's body in this order, whatever is between them. */
  readonly receive: readonly string[];
  /** How much of the body is looked at; 0: all. */
  readonly responseBufferBytes: number;
  readonly expectedStatuses: readonly StatusRange[];
  /** Unlike others these failures count up to the threshold. */
  readonly retriableStatuses: readonly StatusRange[];
  /** Of `x-envoy-upstream-healthchecked-cluster` of the response; null: not asked for. */
  readonly serviceName: StringMatcher | null;
}

export interface TcpCheckModel {
  readonly kind: 'tcp';
  readonly send: string;
  /** Empty: a connection is enough. */
  readonly receive: readonly string[];
}

export interface GrpcCheckModel {
  readonly kind: 'grpc';
  /** Empty: the server as a whole. */
  readonly service: string;
  /** Empty: the name of the cluster. */
  readonly authority: string;
  readonly headersToAdd: readonly HeaderValueOption[];
}

/** `end` is not part of it. */
export interface StatusRange {
  readonly start: number;
  readonly end: number;
}
