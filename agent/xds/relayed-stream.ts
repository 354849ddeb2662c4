/** One pair of ADS streams: proxy to agent, agent to istiod. */
import { type ClientDuplexStream, type ServerDuplexStream, type StatusObject, status } from '@grpc/grpc-js';
import { idleCollection } from '../../common/idle-collection.ts';
import { describeIstiodFailure } from '../failure-text.ts';
import { AgentLogger } from '../log.ts';
import { agentMetrics } from '../metrics.ts';
import type { DiscoveryVariant, ErrorDetail } from './discovery-variant.ts';
import type { IstiodChannel } from './istiod-channel.ts';
import type { ResourceHandler } from './relay.ts';
import { readStringField } from './wire.ts';

const log = new AgentLogger('xdsproxy');

const typePrefix = 'type.googleapis.com/';
const listenerType = `${typePrefix}envoy.config.listener.v3.Listener`;
const workloadType = `${typePrefix}istio.workload.Workload`;
const healthType = `${typePrefix}istio.v1.HealthInformation`;

export type RelayedStreamOptions = {
  readonly id: number;
  readonly downstream: ServerDuplexStream<Buffer, Buffer>;
  readonly variant: DiscoveryVariant;
  readonly openChannel: () => IstiodChannel;
  readonly istiodAddress: string;
  readonly handlers: ReadonlyMap<string, ResourceHandler>;
  readonly forwardsEverything: boolean;
  readonly health: () => ErrorDetail | null | undefined;
  readonly onClose: () => void;
};

export class RelayedStream {
  readonly #options: RelayedStreamOptions;
  #channel: IstiodChannel | null = null;
  #upstream: ClientDuplexStream<Buffer, Buffer> | null = null;
  #connected = false;
  /** The agent's own subscriptions wait for the proxy's first one to listeners: istiod then knows the node. */
  #ownRequestsSent = false;
  #closed = false;

  constructor(options: RelayedStreamOptions) {
    this.#options = options;
  }

  start(): void {
    this.#observeDownstream();
    const { variant, openChannel } = this.#options;
    try {
      this.#channel = openChannel();
      this.#upstream = this.#channel.openStream(variant.path);
    } catch (error) {
      this.#failToConnect((error as Error).message);
      return;
    }
    this.#channel.watchDial(() => {
      if (!this.#connected && !this.#closed) this.#failToConnect('no answer within the dial timeout');
    });
    this.#observeUpstream(this.#upstream);
  }

  #failToConnect(details: string): void {
    log.error(`failed to connect to upstream ${this.#options.istiodAddress}: ${describeIstiodFailure(details)}`);
    agentMetrics.istiodConnectionFailures.increment();
    this.#fail(status.UNAVAILABLE, details);
  }

  /** Sends the application's health, unless it is too early for it. */
  sendHealth(error: ErrorDetail | null): void {
    if (this.#ownRequestsSent) this.#sendUpstream(this.#options.variant.encodeRequest(healthType, error ?? undefined));
  }

  /** Ends both directions without an error. */
  close(): void {
    if (this.#finish()) this.#options.downstream.end();
  }

  #observeDownstream(): void {
    const { downstream } = this.#options;
    downstream.on('data', (bytes: Buffer) => this.#onRequest(bytes));
    downstream.on('end', () => this.#onDownstreamEnd(true));
    downstream.on('cancelled', () => this.#onDownstreamEnd(true));
    downstream.on('error', () => this.#onDownstreamEnd(false));
  }

  #onDownstreamEnd(expected: boolean): void {
    if (!this.#finish()) return;
    log.debug('downstream terminated', { id: this.#options.id });
    agentMetrics.envoyConnectionTerminations.increment({ type: expected ? 'cancelled' : 'error' });
    this.#options.downstream.end();
  }

  #observeUpstream(upstream: ClientDuplexStream<Buffer, Buffer>): void {
    upstream.on('metadata', () => this.#onConnected());
    upstream.on('data', (bytes: Buffer) => this.#onResponse(upstream, bytes));
    // The status follows; without a listener an error would end the process.
    upstream.on('error', () => {});
    upstream.on('status', (result: StatusObject) => this.#onUpstreamEnd(result));
  }

  #onConnected(): void {
    if (this.#connected) return;
    this.#connected = true;
    const { variant, istiodAddress, id } = this.#options;
    log.info(`connected to ${variant.title}upstream XDS server: ${istiodAddress}`, { id });
  }

  #onUpstreamEnd(result: StatusObject): void {
    if (this.#closed) return;
    if (!this.#connected && result.code === status.UNAVAILABLE) {
      this.#failToConnect(result.details);
      return;
    }
    const expected = isExpectedEnd(result);
    const message = `code = ${status[result.code]} desc = ${describeIstiodFailure(result.details)}`;
    if (expected) log.debug(`upstream terminated with status ${message}`, { id: this.#options.id });
    else log.warn(`upstream terminated with unexpected error ${message}`, { id: this.#options.id });
    agentMetrics.istiodConnectionTerminations.increment({ type: expected ? 'cancelled' : 'error' });
    if (result.code === status.OK) this.close();
    else this.#fail(result.code, result.details);
  }

  #onRequest(bytes: Buffer): void {
    let typeUrl: string;
    try {
      typeUrl = readStringField(bytes, this.#options.variant.requestTypeField);
    } catch (error) {
      this.#fail(status.INVALID_ARGUMENT, (error as Error).message);
      return;
    }
    log.debug(`request for type url ${typeUrl}`, { id: this.#options.id });
    this.#sendUpstream(bytes);
    if (typeUrl === listenerType && !this.#ownRequestsSent) this.#sendOwnRequests();
  }

  #sendOwnRequests(): void {
    const { handlers, variant, health } = this.#options;
    for (const typeUrl of handlers.keys()) this.#sendUpstream(variant.encodeRequest(typeUrl));
    this.#ownRequestsSent = true;
    const reported = health();
    if (reported !== undefined) this.sendHealth(reported);
  }

  /** Requests are small and never held back: waiting here while istiod waits for us could stall both. */
  #sendUpstream(bytes: Buffer): void {
    if (this.#closed || this.#upstream === null) return;
    agentMetrics.xdsProxyRequests.increment();
    this.#upstream.write(bytes);
  }

  #onResponse(upstream: ClientDuplexStream<Buffer, Buffer>, bytes: Buffer): void {
    if (this.#closed) return;
    this.#onConnected();
    const { variant, handlers, forwardsEverything, downstream, id } = this.#options;
    agentMetrics.xdsProxyResponses.increment();
    idleCollection.noteReceived(bytes.length);
    const typeUrl = readStringField(bytes, variant.responseTypeField);
    if (log.isEnabled('debug')) log.debug('upstream response', { id, type: typeUrl, bytes: bytes.length });
    const handler = handlers.get(typeUrl);
    if (handler !== undefined) {
      this.#consume(handler, bytes);
      return;
    }
    if (!forwardsEverything && !typeUrl.startsWith(`${typePrefix}envoy.`) && typeUrl !== workloadType) {
      log.error(`Skipping forwarding type url ${typeUrl} to Envoy as is not a valid Envoy type`);
      return;
    }
    if (!downstream.write(bytes)) {
      upstream.pause();
      downstream.once('drain', () => upstream.resume());
    }
  }

  #consume(handler: ResourceHandler, bytes: Buffer): void {
    const { variant } = this.#options;
    const response = variant.decodeResponse(bytes);
    // An empty response answers a subscription to something that does not exist: it is not acknowledged.
    if (response.firstResource === null) return;
    try {
      handler(response.firstResource);
      this.#sendUpstream(variant.encodeAck(response));
    } catch (error) {
      const message = (error as Error).message;
      log.error(`failed to handle ${response.typeUrl}: ${message}`);
      this.#sendUpstream(variant.encodeAck(response, { code: status.INTERNAL, message }));
    }
  }

  #fail(code: number, details: string): void {
    if (this.#finish()) this.#options.downstream.emit('error', { code, details });
  }

  /** False if the pair was finished before. */
  #finish(): boolean {
    if (this.#closed) return false;
    this.#closed = true;
    this.#upstream?.cancel();
    this.#channel?.close();
    this.#options.onClose();
    return true;
  }
}

/** istiod ends streams regularly (maximum age, shutdown); that is nothing to warn about. */
function isExpectedEnd({ code, details }: StatusObject): boolean {
  if (code === status.OK || code === status.CANCELLED) return true;
  if (code !== status.UNAVAILABLE) return false;
  return /RST_STREAM with code (0|8)|Connection dropped|GOAWAY|transport is closing|max.age/i.test(details);
}
