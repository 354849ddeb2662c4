/** A connection manager between a scripted client connection and a terminal filter of the test. */
import { TimerWheel } from '../../../../common/timer-wheel.ts';
import { compileHttp2Options } from '../../../../proxy/config/compile/http-protocol.ts';
import type { HttpConnectionManagerModel } from '../../../../proxy/config/model/http-connection-manager.ts';
import type { RouteConfigModel } from '../../../../proxy/config/model/route.ts';
import { buildConnectionManager } from '../../../../proxy/http/connection-manager.ts';
import type { HttpFilterBuilders, HttpFilterCallbacks, WorkerServices } from '../../../../proxy/http/filter.ts';
import { HookStatus } from '../../../../proxy/http/filter.ts';
import { HeaderMap } from '../../../../proxy/http/header-map.ts';
import type { ConnectionInfo } from '../../../../proxy/network/connection.ts';
import { StatsStore } from '../../../../proxy/telemetry/stats-store.ts';
import { StreamInfo } from '../../../../proxy/telemetry/stream-info.ts';

const noEdits = { requestAdd: [], requestRemove: [], responseAdd: [], responseRemove: [] };

export const routeConfig: RouteConfigModel = {
  name: 'r',
  ignorePortInHostMatching: false,
  headers: noEdits,
  mostSpecificHeaderMutationsWins: false,
  maxDirectResponseBodyBytes: 4096,
  virtualHosts: [],
};

export const managerModel: HttpConnectionManagerModel = {
  kind: 'envoy.filters.network.http_connection_manager',
  codecType: 'auto',
  statPrefix: 'test',
  route: { kind: 'inline', config: routeConfig },
  httpFilters: [{ kind: 'terminal', name: 'terminal', config: {} }],
  accessLogs: [],
  serverName: 'envoy',
  serverHeaderTransformation: 'overwrite',
  schemeOverwrite: null,
  useRemoteAddress: false,
  xffNumTrustedHops: 0,
  skipXffAppend: false,
  appendXForwardedPort: false,
  via: '',
  internalAddresses: { unixSockets: false, cidrRanges: [] },
  forwardClientCert: 'sanitize',
  setCurrentClientCert: { subject: false, cert: false, chain: false, dns: false, uri: false },
  proxy100Continue: false,
  generateRequestId: true,
  preserveExternalRequestId: false,
  alwaysSetRequestIdInResponse: false,
  requestId: { packTraceReason: true, useForTraceSampling: true },
  tracing: null,
  normalizePath: true,
  mergeSlashes: false,
  escapedSlashes: 'keep',
  stripPort: 'none',
  stripTrailingHostDot: false,
  upgrades: [{ type: 'websocket', enabled: true, filters: null }],
  http1: {
    acceptHttp10: false,
    defaultHostForHttp10: '',
    allowAbsoluteUrl: true,
    enableTrailers: false,
    allowChunkedLength: false,
    preserveCase: false,
    sendFullyQualifiedUrl: false,
  },
  http2: compileHttp2Options(null, ''),
  headersWithUnderscores: 'allow',
  idleTimeoutMs: 0,
  maxConnectionDurationMs: 0,
  maxStreamDurationMs: 0,
  streamIdleTimeoutMs: 0,
  requestTimeoutMs: 0,
  requestHeadersTimeoutMs: 0,
  delayedCloseTimeoutMs: 1000,
  drainTimeoutMs: 0,
  maxRequestsPerConnection: 0,
  maxRequestHeadersBytes: 60 * 1024,
  maxHeadersCount: 100,
};

export interface SeenRequest {
  readonly headers: HeaderMap;
  body: string;
  ended: boolean;
  readonly callbacks: HttpFilterCallbacks;
}

export interface Fixture {
  send(text: string): void;
  close(): void;
  /** Everything written to the client, latin1. */
  written: string;
  closed: string | null;
  readonly requests: SeenRequest[];
  /** One line per finished stream. */
  readonly log: string[];
  draining: boolean;
  readonly stats: StatsStore;
}

export interface FixtureOptions {
  readonly model?: Partial<HttpConnectionManagerModel>;
  readonly info?: Partial<ConnectionInfo>;
  readonly trafficDirection?: 'unspecified' | 'inbound' | 'outbound';
  readonly filters?: HttpFilterBuilders;
  /** What the terminal filter does with a complete request; default: 200 with the body `ok`. */
  readonly answer?: (request: SeenRequest) => void;
}

export function answerOk({ callbacks }: SeenRequest): void {
  const headers = new HeaderMap();
  headers.status = 200;
  headers.add('content-length', '2');
  callbacks.encodeHeaders(headers, false);
  callbacks.encodeData(Buffer.from('ok'), true);
}

function makeTerminal(requests: SeenRequest[], answer: (request: SeenRequest) => void): HttpFilterBuilders {
  return {
    terminal: () => callbacks => {
      let request: SeenRequest | null = null;
      const end = (): void => {
        if (request === null) return;
        request.ended = true;
        answer(request);
      };
      return {
        onRequestHeaders(headers, endStream) {
          request = { headers, body: '', ended: false, callbacks };
          requests.push(request);
          if (endStream) end();
          return HookStatus.stop;
        },
        onRequestData(data, endStream) {
          if (request !== null) request.body += data.toString('latin1');
          if (endStream) end();
          return HookStatus.stop;
        },
      };
    },
  };
}

export function makeConnectionInfo(partial: Partial<ConnectionInfo> = {}): ConnectionInfo {
  const local = { kind: 'socket', address: '10.0.0.1', port: 8080 } as const;
  const remote = { kind: 'socket', address: '10.0.0.2', port: 40000 } as const;
  return {
    id: 1,
    localAddress: local,
    directLocalAddress: local,
    localAddressRestored: false,
    remoteAddress: remote,
    directRemoteAddress: remote,
    originalSource: null,
    requestedServerName: '',
    requestedApplicationProtocols: [],
    transportProtocol: 'raw_buffer',
    tls: null,
    startTimeMs: 0,
    transportFailureReason: '',
    listenerName: '',
    filterChainName: '',
    ...partial,
  };
}

export function makeFixture(options: FixtureOptions = {}): Fixture {
  const requests: SeenRequest[] = [];
  const log: string[] = [];
  const stats = new StatsStore({
    isIncluded: () => true,

    sink: { addBlock() {}, register() {} },
  });
  const model = { ...managerModel, ...options.model };
  const services = {
    timers: new TimerWheel(),
    accessLogs: {
      create: () => [
        { log: (info: StreamInfo) => log.push(`${info.responseCode} ${info.responseFlags} ${info.responseCodeDetails}`) },
      ],
    },
    drain: { isDraining: () => fixture.draining },
    httpFilters: { ...options.filters, ...makeTerminal(requests, options.answer ?? answerOk) },
    routeConfigs: { get: () => ({ current: null }) },
    extensionConfigs: { get: () => ({ current: undefined }) },
    runtime: { getNumber: (_: string, fallback: number) => fallback, getBoolean: (_: string, fallback: boolean) => fallback },
    workerIndex: 0,
  } as unknown as WorkerServices;
  const factory = buildConnectionManager(model, {
    stats,
    node: { id: 'n', cluster: 'c', locality: { region: '', zone: '', subZone: '' }, metadata: {} },
    trafficDirection: options.trafficDirection ?? 'unspecified',
    services,
    listener: null,
  });
  const info = makeConnectionInfo(options.info);
  const connection = {
    info,
    state: 'open',
    bufferedBytes: 0,
    bytesReceived: 0,
    get bytesSent() {
      return fixture.written.length;
    },
    write: (data: Buffer) => {
      fixture.written += data.toString('latin1');
    },
    writeLatin1: (text: string) => {
      fixture.written += text;
    },
    readDisable() {},
    close(type: string) {
      if (connection.state === 'closed') return;
      connection.state = 'closed';
      fixture.closed = type;
      filter.onClose?.('local-close');
    },
    setDelayedCloseTimeoutMs() {},
  };
  const streamInfo = new StreamInfo(info, 0, 0);
  const fixture: Fixture = {
    written: '',
    closed: null,
    requests,
    log,
    draining: false,
    stats,
    send(text) {
      if (connection.state === 'open') filter.onData?.(Buffer.from(text, 'latin1'), false);
    },
    close() {
      connection.state = 'closed';
      filter.onClose?.('remote-close');
    },
  };
  const filter = factory({ connection, streamInfo } as never);
  filter.onNewConnection?.();
  return fixture;
}

/** Replaces what changes from run to run. */
export function normalize(text: string): string {
  return text
    .replaceAll(/date: [A-Z][^\r]*/g, 'date: D')
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-([0-9a-f])[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'UUID$1');
}
