/** Everything between a decoded request and its filters: checks, path, host, headers, route, tracing, upgrade. */
import { Headers100Continue } from './continue-headers.ts';
import type { ActiveStream } from './active-stream.ts';
import type { ConnectionManager } from './connection-manager.ts';
import type { NamedFactory } from './filter-chain.ts';
import type { HeaderMap } from './header-map.ts';
import { isGrpcContentType } from './local-reply.ts';
import { normalizeRequestPath, stripHostPort, stripTrailingHostDot } from './path-normalization.ts';
import { decideTracing } from './request-id.ts';
import { isUpgrade } from './request-headers.ts';
import { shouldCloseConnection } from './response-headers.ts';

export class RequestPreparation {
  readonly #stream: ActiveStream;
  readonly #manager: ConnectionManager;

  constructor(stream: ActiveStream, manager: ConnectionManager) {
    this.#stream = stream;
    this.#manager = manager;
  }

  /** Prepares the headers; null if the request was answered, else the filters that it goes through. */
  prepare(headers: HeaderMap): readonly NamedFactory[] | null {
    const { requestEdits } = this.#manager.context;
    const stream = this.#stream;
    const protocol = stream.streamInfo.protocol;
    const mayClose = !this.#manager.isMultiplexed;
    stream.sawConnectionClose = mayClose && (this.#manager.closing || shouldCloseConnection(protocol, headers));
    if (stream.sawConnectionClose) this.#manager.closeAfterResponse();
    else if (protocol === 'HTTP/1.0') stream.confirmsKeepAlive = true;
    this.#answerExpectation(headers);
    if (!headers.hasAuthority) return this.#refuse(400, 'missing_host_header');
    if (headers.method !== 'CONNECT' && !this.#checkPath(headers)) return null;
    this.#stripHost(headers);
    const isUpgradeRequest = isUpgrade(headers);
    const { info } = this.#manager.connection;
    const address = requestEdits.apply(headers, info, this.#manager.describeCert);
    if (address !== null) this.#setClientAddress(address);
    this.#trace(headers);
    if (headers.method === 'CONNECT' || isUpgradeRequest) return this.#chooseUpgradeFilters(headers);
    return this.#manager.context.filters;
  }

  /** The same for a request that comes once more, with another path or host. */
  prepareAgain(headers: HeaderMap): readonly NamedFactory[] | null {
    if (headers.method !== 'CONNECT' && !this.#checkPath(headers)) return null;
    this.#stripHost(headers);
    return headers.method === 'CONNECT' || isUpgrade(headers)
      ? this.#chooseUpgradeFilters(headers)
      : this.#manager.context.filters;
  }

  #stripHost(headers: HeaderMap): void {
    const { model } = this.#manager.context;
    if (model.stripPort !== 'none') headers.authority = stripHostPort(headers.authority, this.#portToStrip());
    if (model.stripTrailingHostDot) headers.authority = stripTrailingHostDot(headers.authority);
  }

  #refuse(status: number, details: string): null {
    this.#stream.forgoRoute();
    if (status === 400) this.#stream.sawConnectionClose = false;
    this.#stream.sendLocalReply({ status, body: '', details, flags: 0, grpcStatus: null });
    return null;
  }

  #answerExpectation(headers: HeaderMap): void {
    if (this.#manager.context.model.proxy100Continue) return;
    if (headers.get('expect')?.toLowerCase() !== '100-continue') return;
    this.#stream.sendContinue(new Headers100Continue());
    headers.remove('expect');
  }

  /** Checks and normalizes the path; false if the request was answered. */
  #checkPath(headers: HeaderMap): boolean {
    const { model, stats } = this.#manager.context;
    if (headers.path.charCodeAt(0) !== 47) {
      stats.counter('downstream_rq_non_relative_path').inc();
      this.#refuse(404, 'absolute_path_rejected');
      return false;
    }
    const normalized = normalizeRequestPath(headers.path, model);
    headers.path = normalized.path;
    if (normalized.action === 'forward') return true;
    // A client of gRPC follows no redirect.
    if (normalized.action === 'reject' || isGrpcContentType(headers.get('content-type'))) {
      stats.counter('downstream_rq_failed_path_normalization').inc();
      this.#refuse(400, 'path_normalization_failed');
      return false;
    }
    stats.counter('downstream_rq_redirected_with_normalized_path').inc();
    this.#stream.forgoRoute();
    this.#stream.sendLocalReply({
      status: 307,
      body: '',
      details: 'path_normalization_failed',
      flags: 0,
      grpcStatus: null,
      modifyHeaders: reply => reply.add('location', normalized.path),
    });
    return false;
  }

  #portToStrip(): number | null {
    const { localAddress } = this.#manager.connection.info;
    if (this.#manager.context.model.stripPort === 'any') return null;
    return localAddress.kind === 'socket' ? localAddress.port : -1;
  }

  /** Logs and filters see the client that the headers name. */
  #setClientAddress(address: string): void {
    const info = this.#stream.streamInfo as { downstream: object };
    info.downstream = Object.create(info.downstream, {
      remoteAddress: { value: { kind: 'socket', address, port: 0 }, enumerable: true },
    });
  }

  #trace(headers: HeaderMap): void {
    const { model, stats, trafficDirection } = this.#manager.context;
    if (model.tracing === null) return;
    switch (decideTracing(headers, model)) {
      case 'sampling':
        stats.countTracing('random_sampling');
        break;
      case 'service-forced':
        stats.countTracing('service_forced');
        break;
      case 'client-forced':
        stats.countTracing('client_enabled');
        break;
      default:
        stats.countTracing('not_traceable');
    }
    const decorator = this.#stream.getRoute()?.route.decorator ?? null;
    if (trafficDirection === 'outbound') {
      if (decorator?.propagate === true && decorator.operation !== '')
        headers.set('x-envoy-decorator-operation', decorator.operation);
      return;
    }
    if (!headers.remove('x-envoy-decorator-operation') && decorator?.propagate === true) {
      this.#stream.decoratedOperation = decorator.operation;
    }
  }

  /** An upgrade passes if the connection manager has it and the route does not forbid it. */
  #chooseUpgradeFilters(headers: HeaderMap): readonly NamedFactory[] | null {
    const { upgrades, stats, filters } = this.#manager.context;
    const isConnect = headers.method === 'CONNECT';
    const type = isConnect ? 'connect' : (headers.get('upgrade') ?? '').toLowerCase();
    const route = this.#stream.getRoute()?.route ?? null;
    const ofRoute =
      route?.action.kind === 'forward' ? route.action.upgrades.find(upgrade => upgrade.type.toLowerCase() === type) : undefined;
    const found =
      ofRoute?.enabled === false ? undefined : (upgrades.get(type) ?? (ofRoute?.enabled === true ? filters : undefined));
    if (found !== undefined) {
      this.#stream.onUpgradeFilters();
      return found;
    }
    if (isConnect && route === null) return filters;
    stats.counter('downstream_rq_ws_on_non_ws_route').inc();
    this.#manager.endRequests();
    this.#stream.sendLocalReply({ status: 403, body: '', details: 'upgrade_failed', flags: 0, grpcStatus: null });
    return null;
  }
}
