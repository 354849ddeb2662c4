/**
 * Relays ADS between the proxy (a Unix socket) and istiod, one upstream stream per downstream stream.
 *
 * Messages are passed on as bytes. An upstream's end ends the downstream: the proxy reconnects and states anew what it has.
 * Source: XdsProxy in istio.io/istio pkg/istio-agent.
 */
import { type ServerDuplexStream, Server } from '@grpc/grpc-js';
import { AgentLogger } from '../log.ts';
import { rawMethod, serveOn } from '../raw-service.ts';
import type { UnixListener } from '../unix-listener.ts';
import { deltaVariant, type DiscoveryVariant, type ErrorDetail, sotwVariant } from './discovery-variant.ts';
import { RelayedStream } from './relayed-stream.ts';
import type { IstiodChannel } from './istiod-channel.ts';

const log = new AgentLogger('xdsproxy');

/** Handles a resource that is meant for the agent itself; throws to reject it. */
export type ResourceHandler = (resource: Uint8Array) => void;

export type RelayOptions = {
  readonly listener: UnixListener;
  readonly maxStreams: number;
  readonly openChannel: () => IstiodChannel;
  readonly istiodAddress: string;
  /** Type URL to handler. The agent subscribes to these types by itself. */
  readonly handlers: ReadonlyMap<string, ResourceHandler>;
  /** gRPC applications understand every type, the proxy only Envoy's and workloads. */
  readonly forwardsEverything: boolean;
};

export class AdsRelay {
  readonly #options: RelayOptions;
  readonly #server: Server;
  #current: RelayedStream | null = null;
  /** For the first stream. */
  #prepared: IstiodChannel | null = null;
  #lastId = 0;
  /** Undefined before the first probe; null is healthy. */
  #health: ErrorDetail | null | undefined;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#server = new Server({
      'grpc.max_concurrent_streams': options.maxStreams,
      'grpc.max_receive_message_length': -1,
      'grpc.max_send_message_length': -1,
    });
    this.#server.addService(
      {
        StreamAggregatedResources: rawMethod(sotwVariant.path, true),
        DeltaAggregatedResources: rawMethod(deltaVariant.path, true),
      },
      {
        StreamAggregatedResources: (stream: ServerDuplexStream<Buffer, Buffer>) => this.#accept(stream, sotwVariant),
        DeltaAggregatedResources: (stream: ServerDuplexStream<Buffer, Buffer>) => this.#accept(stream, deltaVariant),
      },
    );
  }

  /** Serves the proxy, and connects to istiod before its first stream comes: both take about as long to start. */
  serve(): void {
    serveOn(this.#server, this.#options.listener);
    try {
      this.#prepared = this.#options.openChannel();
      this.#prepared.connect();
    } catch {
      // The first stream fails alike, and tells why.
    }
  }

  /** Tells istiod whether the application is healthy, now and after each reconnect; null is healthy. */
  reportHealth(error: ErrorDetail | null): void {
    this.#health = error;
    this.#current?.sendHealth(error);
  }

  close(): void {
    this.#current?.close();
    this.#prepared?.close();
    this.#options.listener.close();
    this.#server.forceShutdown();
  }

  #takeChannel(): IstiodChannel {
    const prepared = this.#prepared;
    this.#prepared = null;
    if (prepared !== null && !prepared.hasFailed) return prepared;
    prepared?.close();
    return this.#options.openChannel();
  }

  #accept(downstream: ServerDuplexStream<Buffer, Buffer>, variant: DiscoveryVariant): void {
    log.debug(`accepted ${variant.title}XDS connection from Envoy, forwarding to upstream XDS server`);
    if (this.#current !== null) {
      log.warn('registered overlapping stream; closing previous');
      this.#current.close();
    }
    const stream = new RelayedStream({
      id: ++this.#lastId,
      downstream,
      variant,
      openChannel: () => this.#takeChannel(),
      istiodAddress: this.#options.istiodAddress,
      handlers: this.#options.handlers,
      forwardsEverything: this.#options.forwardsEverything,
      health: () => this.#health,
      onClose: () => {
        if (this.#current === stream) this.#current = null;
      },
    });
    this.#current = stream;
    stream.start();
  }
}
