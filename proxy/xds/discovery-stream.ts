/**
 * One gRPC stream that carries any number of resource types, delta or state of the world, and comes back after every failure.
 * What was accepted stays in force while there is no connection.
 */
import { type Client, type ClientDuplexStream, Metadata, type MethodDefinition } from '@grpc/grpc-js';
import { idleCollection } from '../../common/idle-collection.ts';
import { Logger } from '../../common/log.ts';
import type { MessageTypes, Partially } from '../../protos/messages.ts';
import { JitteredBackoff } from './backoff.ts';
import { DeltaState } from './delta-state.ts';
import {
  type DeltaRequest,
  type DiscoveryService,
  defineDeltaMethod,
  defineSotwMethod,
  type ReceivedDeltaResponse,
  type ReceivedSotwResponse,
  type SotwRequest,
} from './discovery-services.ts';
import type { ControlPlaneStats } from './discovery-stats.ts';
import type { ControlPlaneConnectionStats, GrpcClusterStats } from './grpc-cluster-stats.ts';
import type { GrpcTarget } from './grpc-target.ts';
import type { Gradual } from './gradual.ts';
import { ResponseQueue } from './response-queue.ts';
import { SotwState } from './sotw-state.ts';
import type { DiscoverySource, Subscription, SubscriptionRequest } from './subscription.ts';
import type { TypeState } from './type-state.ts';

const log = new Logger('config');

export type NodeMessage = Partially<MessageTypes['envoy.service.discovery.v3.DiscoveryRequest']>['node'];

export interface DiscoveryStreamOptions {
  readonly target: GrpcTarget;
  readonly service: DiscoveryService;
  readonly protocol: 'delta' | 'sotw';
  readonly node: NodeMessage;
  /** Send the node with the first request of a stream only. */
  readonly nodeOnFirstMessageOnly: boolean;
  /** Initial gRPC metadata. */
  readonly metadata?: readonly { readonly key: string; readonly value: string }[];
  readonly stats: ControlPlaneStats | null;
  readonly clusterStats: GrpcClusterStats | null;
  readonly backoff?: JitteredBackoff;
}

type Request = DeltaRequest & SotwRequest;
type Response = ReceivedDeltaResponse & ReceivedSotwResponse;
type State = TypeState<Request, Response>;

export class DiscoveryStream implements DiscoverySource {
  readonly #options: DiscoveryStreamOptions;
  readonly #method: MethodDefinition<Request, Response>;
  readonly #backoff: JitteredBackoff;
  /** In order of subscription, which is the order of first requests. */
  readonly #states = new Map<string, State>();
  #client: Client | null = null;
  #stream: ClientDuplexStream<Request, Response> | null = null;
  #responses: ResponseQueue<Response, Request> | null = null;
  #connection: ControlPlaneConnectionStats | null = null;
  #retryTimer: NodeJS.Timeout | null = null;
  #nodeSent = false;
  #answered = false;
  #flushScheduled = false;
  #stopped = false;
  #lastReason = '';

  constructor(options: DiscoveryStreamOptions) {
    this.#options = options;
    const { delta, sotw } = options.service;
    const method = options.protocol === 'delta' ? defineDeltaMethod(delta) : defineSotwMethod(sotw);
    this.#method = method as unknown as MethodDefinition<Request, Response>;
    this.#backoff = options.backoff ?? new JitteredBackoff();
  }

  /** Connects at the first subscription. One subscription per type. */
  subscribe({ typeUrl, names, handler }: SubscriptionRequest): Subscription {
    if (this.#states.has(typeUrl)) throw new Error(`${typeUrl} is subscribed to already on this stream`);
    const state = (this.#options.protocol === 'delta'
      ? new DeltaState(typeUrl, handler, names)
      : new SotwState(typeUrl, handler, names)) as unknown as State;
    this.#states.set(typeUrl, state);
    this.#scheduleFlush();
    return {
      updateNames: (added, removed) => {
        state.updateNames(added, removed);
        this.#scheduleFlush();
      },
      close: () => this.#states.delete(typeUrl),
    };
  }

  /** Ends the stream for good. */
  stop(): void {
    this.#stopped = true;
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    this.#closeChannel();
  }

  /** Requests go out once per turn: everything that one response subscribed to is one request per type. */
  #scheduleFlush(): void {
    if (this.#flushScheduled || this.#stopped) return;
    this.#flushScheduled = true;
    queueMicrotask(() => {
      this.#flushScheduled = false;
      if (this.#stopped) return;
      if (this.#stream === null && this.#retryTimer === null) this.#connect();
      else this.#flush();
    });
  }

  #flush(): void {
    if (this.#stream === null || this.#responses?.isApplying) return;
    for (const state of this.#states.values()) {
      const request = state.takeRequest();
      if (request === null) continue;
      this.#send(request);
    }
  }

  #send(request: Request): void {
    const withNode = !this.#nodeSent || !this.#options.nodeOnFirstMessageOnly;
    this.#nodeSent = true;
    this.#stream?.write(withNode ? { ...request, node: this.#options.node } : request);
  }

  #connect(): void {
    const { target, metadata, clusterStats, stats } = this.#options;
    this.#answered = false;
    this.#nodeSent = false;
    this.#client = target.open();
    const connection = clusterStats?.beginConnection() ?? null;
    this.#connection = connection;
    const { path, requestSerialize, responseDeserialize } = this.#method;
    const serialize = (request: Request): Buffer => {
      const bytes = requestSerialize(request);
      connection?.onMessageSent(bytes.length);
      return bytes;
    };
    const deserialize = (bytes: Buffer): Response => {
      connection?.onMessageReceived(bytes.length);
      idleCollection.noteReceived(bytes.length);
      return responseDeserialize(bytes);
    };
    const stream = this.#client.makeBidiStreamRequest(path, serialize, deserialize, buildMetadata(metadata));
    this.#stream = stream;
    let ended = false;
    const onEnd = (reason: string): void => {
      if (ended || this.#stream !== stream) return;
      ended = true;
      this.#onStreamEnded(reason);
    };
    stream.on('metadata', () => {
      stats?.connected.set(1);
      connection?.onConnected();
    });
    const responses = new ResponseQueue<Response, Request>({
      apply: response => this.#apply(response),
      answer: answer => this.#answer(answer),
    });
    this.#responses = responses;
    stream.on('data', response => {
      this.#noteResponse(response);
      responses.add(response);
    });
    stream.on('error', error => onEnd(error.message));
    stream.on('status', status => onEnd(`${status.code} ${status.details}`));
    for (const state of this.#states.values()) state.onStreamOpened();
    this.#flush();
  }

  #noteResponse(response: Response): void {
    const { stats } = this.#options;
    if (!this.#answered) {
      this.#answered = true;
      this.#lastReason = '';
      this.#backoff.reset();
      stats?.connected.set(1);
    }
    if (response.control_plane?.identifier && stats !== null) stats.identifier = response.control_plane.identifier;
  }

  #apply(response: Response): Gradual<Request> | null {
    const state = this.#states.get(response.type_url);
    if (state !== undefined) return state.onResponse(response);
    log.warn(`Ignoring the message for type URL ${response.type_url} as it has no current subscribers.`);
    return null;
  }

  #answer(answer: Request): void {
    if (answer.error_detail) log.warn(`gRPC config for ${answer.type_url} rejected: ${answer.error_detail.message}`);
    this.#send(answer);
    this.#flush();
  }

  #onStreamEnded(reason: string): void {
    const { stats, target } = this.#options;
    this.#responses?.end();
    this.#responses = null;
    this.#connection?.onEnded(false);
    this.#connection = null;
    stats?.connected.set(0);
    this.#closeChannel();
    if (this.#stopped) return;
    const delayMs = this.#backoff.next();
    // A server that stays away is worth one line.
    const level = reason === this.#lastReason ? 'debug' : 'warning';
    this.#lastReason = reason;
    log.log(level, `${this.#method.path} gRPC config stream to ${target.address} closed: ${reason}; retrying in ${delayMs} ms`);
    for (const state of this.#states.values()) state.handler.onConnectionFailure();
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = null;
      this.#connect();
    }, delayMs);
  }

  #closeChannel(): void {
    const stream = this.#stream;
    this.#stream = null;
    stream?.on('error', () => {});
    stream?.cancel();
    this.#client?.close();
    this.#client = null;
  }
}

function buildMetadata(entries: DiscoveryStreamOptions['metadata']): Metadata {
  const metadata = new Metadata();
  for (const { key, value } of entries ?? []) metadata.add(key, value);
  return metadata;
}
