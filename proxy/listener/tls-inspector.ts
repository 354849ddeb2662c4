/**
 * `envoy.filters.listener.tls_inspector`: tells TLS from plain bytes and reads server name and ALPN of the hello.
 *
 * Differs from Envoy: bytes that begin no TLS record are plain at once. Envoy waits for five of them, or for the timeout, and so
 * holds up a client that sends fewer and waits for an answer.
 */
import { maxClientHelloBytes, parseClientHello } from '../network/tls/client-hello.ts';
import type { Counter, Histogram, StatsStore } from '../telemetry/stats-store.ts';
import { type ListenerFilter, type ListenerFilterFactory, ListenerFilterStatus, type ListenerSocket } from './listener-filter.ts';

interface TlsInspectorStats {
  readonly tlsFound: Counter;
  readonly tlsNotFound: Counter;
  readonly sniFound: Counter;
  readonly sniNotFound: Counter;
  readonly alpnFound: Counter;
  readonly alpnNotFound: Counter;
  readonly clientHelloTooLarge: Counter;
  readonly bytesProcessed: Histogram;
}

/** This much tells that bytes are not TLS. */
const recordHeaderBytes = 5;

class TlsInspector implements ListenerFilter {
  readonly #stats: TlsInspectorStats;
  #socket: ListenerSocket | null = null;

  constructor(stats: TlsInspectorStats) {
    this.#stats = stats;
  }

  onAccept(socket: ListenerSocket): ListenerFilterStatus {
    this.#socket = socket;
    return ListenerFilterStatus.needData;
  }

  onData(bytes: Buffer): ListenerFilterStatus {
    const { info } = this.#socket as ListenerSocket;
    const stats = this.#stats;
    const hello = parseClientHello(bytes);
    if (hello.kind === 'incomplete') {
      if (bytes.length < maxClientHelloBytes) return ListenerFilterStatus.needData;
      stats.clientHelloTooLarge.inc();
      return ListenerFilterStatus.close;
    }
    stats.bytesProcessed.record(hello.kind === 'not-tls' ? Math.min(bytes.length, recordHeaderBytes) : bytes.length);
    if (hello.kind === 'not-tls') {
      stats.tlsNotFound.inc();
      return ListenerFilterStatus.continue;
    }
    info.transportProtocol = 'tls';
    info.requestedServerName = hello.serverName;
    info.requestedApplicationProtocols = hello.alpnProtocols;
    stats.tlsFound.inc();
    (hello.serverName === '' ? stats.sniNotFound : stats.sniFound).inc();
    (hello.alpnProtocols.length === 0 ? stats.alpnNotFound : stats.alpnFound).inc();
    return ListenerFilterStatus.continue;
  }
}

export function createTlsInspectorFactory(store: StatsStore): ListenerFilterFactory {
  const counter = (name: string): Counter => store.counter(`tls_inspector.${name}`);
  const stats: TlsInspectorStats = {
    tlsFound: counter('tls_found'),
    tlsNotFound: counter('tls_not_found'),
    sniFound: counter('sni_found'),
    sniNotFound: counter('sni_not_found'),
    alpnFound: counter('alpn_found'),
    alpnNotFound: counter('alpn_not_found'),
    clientHelloTooLarge: counter('client_hello_too_large'),
    bytesProcessed: store.histogram('tls_inspector.bytes_processed'),
  };
  return () => new TlsInspector(stats);
}
