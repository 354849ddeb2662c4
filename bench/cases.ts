/** What is measured. The proxies under test get the same bootstrap for a case (bootstraps.ts). */

export interface BenchCase {
  readonly name: string;
  readonly description: string;
  /** Who connects to the proxy: the load in plain text, the load with TLS, or an Envoy in front of it that speaks mutual TLS. */
  readonly entry: 'plain' | 'tls' | 'mutual-tls';
  /** What the proxy speaks to the upstream. */
  readonly upstream: 'plain' | 'tls';
  /** gRPC is HTTP/2 on both sides. */
  readonly protocol: 'http' | 'tcp' | 'grpc' | 'websocket';
  /** Bytes of the larger body; the other one is empty. Without it, responses of 64 bytes. */
  readonly body?: { readonly direction: 'request' | 'response'; readonly bytes: number };
  /** Every request on a connection of its own. */
  readonly newConnections?: boolean;
  /** New TLS connections resume a session. */
  readonly resumes?: boolean;
  /** Connections that do nothing after one request; measured is memory instead of time. */
  readonly idleConnections?: number;
  /** Requests per second, one after the other: measured are the latencies at each. */
  readonly rates?: readonly number[];
  /** Keep-alive connections, where the default of the command is not right. */
  readonly connections?: number;
  readonly keyType?: 'P-256' | 'RSA-2048';
  /** Routes with a regular expression in front of the one that matches. */
  readonly regexRoutes?: number;
  /** Clusters beside the one that is used. */
  readonly otherClusters?: number;
  readonly accessLog?: boolean;
  /** The filters of a sidecar in Istio's default installation, which a stock Envoy lacks. */
  readonly istioFilters?: boolean;
  /** Worker threads; without it one. */
  readonly workers?: number;
  /** Shows how connections, as many as each of these, spread over the workers, and their requests over hosts. */
  readonly spreadOf?: readonly number[];
  /** Addresses of the same upstream, 127.0.0.1 and those that follow; without it one. */
  readonly hosts?: number;
  /** Compared not with Envoy, but with this proxy in `http1`. */
  readonly comparedWithItself?: boolean;
  /** The efficiency to reach, against Envoy: the reference's cost divided by this proxy's. */
  readonly target: number;
}

const plain = { entry: 'plain', upstream: 'plain' } as const;
const mtlsClient = { entry: 'plain', upstream: 'tls' } as const;
const mtlsServer = { entry: 'mutual-tls', upstream: 'plain' } as const;

const kib = 1024;
const bodySizes: readonly (readonly [string, number])[] = [
  ['1k', kib],
  ['64k', 64 * kib],
  ['1m', 1024 * kib],
];

function makeBodyCases(): BenchCase[] {
  const sides = [
    { suffix: '', lane: plain, words: 'plain', target: 0.85 },
    { suffix: '-mtls', lane: mtlsClient, words: 'mutual TLS out', target: 0.6 },
  ];
  return sides.flatMap(({ suffix, lane, words, target }) =>
    bodySizes.flatMap(([size, bytes]) =>
      (['response', 'request'] as const).map(direction => ({
        name: `${direction}-${size}${suffix}`,
        description: `${direction} bodies of ${bytes / kib} KiB, HTTP/1.1, ${words}`,
        ...lane,
        protocol: 'http' as const,
        body: { direction, bytes },
        connections: 16,
        target,
      })),
    ),
  );
}

/** The rate whose p99 has a target: at most 1.2 times the reference's, or half a millisecond above it. */
export const judgedRate = 1000;

function makeLatencyCases(): BenchCase[] {
  const rates = [200, 500, judgedRate, 2000];
  const described = (words: string) => `latencies at fixed rates, ${words}`;
  return [
    { name: 'latency-http1', description: described('HTTP/1.1, plain'), ...plain, protocol: 'http', rates, target: 1 },
    { name: 'latency-mtls-client', description: described('mutual TLS out'), ...mtlsClient, protocol: 'http', rates, target: 1 },
    { name: 'latency-mtls-server', description: described('mutual TLS in'), ...mtlsServer, protocol: 'http', rates, target: 1 },
    { ...grpc, name: 'latency-grpc', description: described('gRPC, unary, plain'), ...plain, connections: 16, rates },
  ];
}

/** Plain HTTP/1.1; also the reference of what is compared with this proxy itself. */
export const plainHttpCase: BenchCase = {
  name: 'http1',
  description: 'HTTP/1.1, plain both sides',
  ...plain,
  protocol: 'http',
  target: 1.4,
};

const grpc = { protocol: 'grpc', connections: 8, target: 1.4 } as const;

export const cases: readonly BenchCase[] = [
  { name: 'tcp', description: 'TCP proxy, plain both sides', ...plain, protocol: 'tcp', target: 0.95 },
  { name: 'tcp-mtls-client', description: 'TCP proxy, mutual TLS out', ...mtlsClient, protocol: 'tcp', target: 0.7 },
  { name: 'tcp-mtls-server', description: 'TCP proxy, mutual TLS in', ...mtlsServer, protocol: 'tcp', target: 0.7 },
  plainHttpCase,
  { name: 'http1-mtls-client', description: 'HTTP/1.1 in, mutual TLS out', ...mtlsClient, protocol: 'http', target: 1.2 },
  { name: 'http1-mtls-server', description: 'mutual TLS in, HTTP/1.1 out', ...mtlsServer, protocol: 'http', target: 1.2 },
  {
    ...plainHttpCase,
    name: 'http1-istio',
    description: "HTTP/1.1 through Istio's filters, against this proxy without them",
    istioFilters: true,
    comparedWithItself: true,
    target: 0.8,
  },
  {
    ...plainHttpCase,
    name: 'http1-two-workers',
    description: 'HTTP/1.1, two workers on one core, against this proxy with one',
    workers: 2,
    comparedWithItself: true,
    target: 0.9,
  },
  {
    ...plainHttpCase,
    name: 'http1-spread',
    description: 'HTTP/1.1, two workers and two hosts: who does the work',
    workers: 2,
    hosts: 2,
    spreadOf: [1, 2, 8, 64],
  },
  {
    ...plainHttpCase,
    name: 'http1-regex-routes',
    description: 'HTTP/1.1, 100 routes with regexes before the match',
    regexRoutes: 100,
  },
  {
    ...plainHttpCase,
    name: 'http1-access-log',
    description: "HTTP/1.1, access log in Istio's text format",
    accessLog: true,
    target: 1.2,
  },
  {
    ...plainHttpCase,
    name: 'http1-thousand-clusters',
    description: 'HTTP/1.1, 1,000 clusters loaded',
    otherClusters: 1000,
  },
  { ...grpc, name: 'grpc', description: 'gRPC, unary, HTTP/2 without TLS', ...plain },
  { ...grpc, name: 'grpc-mtls-client', description: 'gRPC, unary, mutual TLS out', ...mtlsClient },
  { ...grpc, name: 'grpc-mtls-server', description: 'gRPC, unary, mutual TLS in', ...mtlsServer },
  {
    name: 'websocket',
    description: 'WebSocket messages of 64 bytes, echoed, plain',
    ...plain,
    protocol: 'websocket',
    connections: 32,
    target: 0.95,
  },
  ...makeBodyCases(),
  {
    name: 'new-connections',
    description: 'a plain connection per request',
    ...plain,
    protocol: 'http',
    newConnections: true,
    target: 1,
  },
  {
    name: 'new-connections-tls-p256',
    description: 'a TLS connection per request, full handshake, P-256',
    entry: 'tls',
    upstream: 'plain',
    protocol: 'http',
    newConnections: true,
    keyType: 'P-256',
    target: 0.6,
  },
  {
    name: 'new-connections-tls-rsa',
    description: 'a TLS connection per request, full handshake, RSA-2048',
    entry: 'tls',
    upstream: 'plain',
    protocol: 'http',
    newConnections: true,
    keyType: 'RSA-2048',
    target: 0.8,
  },
  {
    name: 'new-connections-tls-resumed',
    description: 'a TLS connection per request, resumed sessions, P-256',
    entry: 'tls',
    upstream: 'plain',
    protocol: 'http',
    newConnections: true,
    resumes: true,
    target: 0.6,
  },
  ...makeLatencyCases(),
  { ...plainHttpCase, name: 'idle', description: 'idle connections, plain', idleConnections: 5000, target: 1 },
  { ...plainHttpCase, name: 'idle-tls', description: 'idle connections, TLS', entry: 'tls', idleConnections: 5000, target: 0.3 },
];
