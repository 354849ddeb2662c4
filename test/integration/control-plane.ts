/**
 * An embedded control plane: aggregated discovery (delta and state of the world) and a secret service, over a Unix socket or
 * TCP. Resources are set as bytes or as messages; a push sends what changed, in istiod's order.
 */
import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import {
  type DeltaRequest,
  type DeltaResponse,
  defineDeltaMethod,
  defineSotwMethod,
  discoveryServices,
  type SotwRequest,
  type SotwResponse,
} from '../../proxy/xds/discovery-services.ts';
import { type DiscoveryKind, discoveryTypeUrls } from '../../proxy/xds/discovery-types.ts';

/** The order in which istiod pushes. */
const pushOrder: readonly DiscoveryKind[] = ['cluster', 'endpoints', 'listener', 'route', 'secret'];
const wildcardTypes: ReadonlySet<string> = new Set([discoveryTypeUrls.cluster, discoveryTypeUrls.listener]);

/** A request as it came. */
export interface SeenRequest {
  readonly method: 'delta' | 'sotw' | 'secret';
  /** Counts streams from 1. */
  readonly stream: number;
  readonly request: DeltaRequest & SotwRequest;
}

interface OpenStream {
  push(): void;
  end(): void;
}

interface TypeWatch {
  wildcard: boolean;
  readonly names: Set<string>;
  /** What this stream was sent, by name. */
  readonly sent: Map<string, Uint8Array>;
}

export interface ControlPlaneOptions {
  /** A Unix socket's path, or `host:port`; port 0 chooses one. */
  readonly address: string;
  /** Sends endpoints again after clusters, as istiod does. Default true. */
  readonly repeatEndpoints?: boolean;
  readonly onRequest?: (seen: SeenRequest) => void;
}

export class ControlPlane {
  readonly requests: SeenRequest[] = [];
  readonly #options: ControlPlaneOptions;
  readonly #resources = new Map<string, Map<string, Uint8Array>>();
  readonly #streams = new Set<OpenStream>();
  #server = new Server();
  #version = 1;
  #streamCount = 0;
  #nonce = 0;
  /** The bound port, 0 for a Unix socket. */
  port = 0;

  constructor(options: ControlPlaneOptions) {
    this.#options = options;
  }

  get version(): string {
    return `v${this.#version}`;
  }

  /** Streams that are open now. */
  get streamCount(): number {
    return this.#streams.size;
  }

  async start(): Promise<void> {
    const { aggregated, secret } = discoveryServices;
    this.#server = new Server({ 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 });
    this.#server.addService(
      {
        delta: defineDeltaMethod(aggregated.delta),
        sotw: defineSotwMethod(aggregated.sotw),
        secretDelta: defineDeltaMethod(secret.delta),
        secretSotw: defineSotwMethod(secret.sotw),
      },
      {
        delta: (call: ServerDuplexStream<DeltaRequest, DeltaResponse>) => this.#serveDelta(call, 'delta'),
        sotw: (call: ServerDuplexStream<SotwRequest, SotwResponse>) => this.#serveSotw(call, 'sotw'),
        secretDelta: (call: ServerDuplexStream<DeltaRequest, DeltaResponse>) => this.#serveDelta(call, 'secret'),
        secretSotw: (call: ServerDuplexStream<SotwRequest, SotwResponse>) => this.#serveSotw(call, 'secret'),
      },
    );
    const { address } = this.#options;
    const target = address.startsWith('/') ? `unix:${address}` : address;
    this.port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(target, ServerCredentials.createInsecure(), (error, port) =>
        error ? reject(error) : resolve(port),
      );
    });
  }

  /** Ends every stream and stops listening. */
  stop(): void {
    this.closeStreams();
    this.#server.forceShutdown();
  }

  /** Ends every stream; clients come back. */
  closeStreams(): void {
    for (const stream of [...this.#streams]) stream.end();
  }

  /** Sets a resource, without pushing it. */
  set(kind: DiscoveryKind, name: string, bytes: Uint8Array): void {
    const typeUrl = discoveryTypeUrls[kind];
    if (!this.#resources.has(typeUrl)) this.#resources.set(typeUrl, new Map());
    this.#resources.get(typeUrl)?.set(name, bytes);
  }

  remove(kind: DiscoveryKind, name: string): void {
    this.#resources.get(discoveryTypeUrls[kind])?.delete(name);
  }

  /** Sends to every stream what differs from what it was sent. */
  push(): void {
    this.#version++;
    for (const stream of this.#streams) stream.push();
  }

  /** The NACKs that came, in order. */
  get rejections(): string[] {
    return this.requests.flatMap(({ request }) => (request.error_detail ? [request.error_detail.message ?? ''] : []));
  }

  #list(typeUrl: string, watch: TypeWatch): [string, Uint8Array][] {
    return [...(this.#resources.get(typeUrl) ?? [])].filter(([name]) => watch.wildcard || watch.names.has(name));
  }

  #note(method: SeenRequest['method'], stream: number, request: DeltaRequest & SotwRequest): void {
    const seen = { method, stream, request };
    this.requests.push(seen);
    this.#options.onRequest?.(seen);
  }

  #serveDelta(call: ServerDuplexStream<DeltaRequest, DeltaResponse>, method: SeenRequest['method']): void {
    const number = ++this.#streamCount;
    const watches = new Map<string, TypeWatch>();
    const send = (typeUrl: string, force: readonly string[]): void => {
      const watch = watches.get(typeUrl);
      if (watch === undefined) return;
      const present = this.#list(typeUrl, watch);
      const changed = present.filter(([name, bytes]) => force.includes(name) || watch.sent.get(name) !== bytes);
      const names = new Set(present.map(([name]) => name));
      const removed = [...watch.sent.keys()].filter(name => !names.has(name));
      for (const name of removed) watch.sent.delete(name);
      for (const [name, bytes] of changed) watch.sent.set(name, bytes);
      if (changed.length === 0 && removed.length === 0 && force.length === 0) return;
      const resources = changed.map(([name, value]) => ({ name, resource: { type_url: typeUrl, value } }));
      call.write({
        type_url: typeUrl,
        system_version_info: this.version,
        nonce: `n${++this.#nonce}`,
        resources,
        removed_resources: removed,
      });
    };
    const push = (): void => {
      const before = this.#list(discoveryTypeUrls.cluster, { wildcard: true, names: new Set(), sent: new Map() });
      const sentClusters = watches.get(discoveryTypeUrls.cluster)?.sent;
      const clustersChanged = before.some(([name, bytes]) => sentClusters?.get(name) !== bytes);
      const repeat = clustersChanged && this.#options.repeatEndpoints !== false;
      for (const kind of pushOrder) {
        const typeUrl = discoveryTypeUrls[kind];
        const names = watches.get(typeUrl)?.names;
        send(typeUrl, kind === 'endpoints' && repeat && names !== undefined ? [...names] : []);
      }
    };
    const stream: OpenStream = { push, end: () => call.end() };
    this.#streams.add(stream);
    call.on('data', (request: DeltaRequest) => {
      this.#note(method, number, request as DeltaRequest & SotwRequest);
      const typeUrl = request.type_url as string;
      let watch = watches.get(typeUrl);
      const first = watch === undefined;
      watch ??= { wildcard: wildcardTypes.has(typeUrl), names: new Set(), sent: new Map() };
      watches.set(typeUrl, watch);
      const subscribed = request.resource_names_subscribe ?? [];
      for (const name of subscribed) watch.names.add(name);
      for (const name of request.resource_names_unsubscribe ?? []) {
        watch.names.delete(name);
        watch.sent.delete(name);
      }
      for (const name of Object.keys(request.initial_resource_versions ?? {})) watch.sent.set(name, new Uint8Array());
      if (first || subscribed.length > 0) send(typeUrl, first && watch.wildcard ? [''] : []);
    });
    this.#closeWith(call, stream);
  }

  #serveSotw(call: ServerDuplexStream<SotwRequest, SotwResponse>, method: SeenRequest['method']): void {
    const number = ++this.#streamCount;
    const watches = new Map<string, TypeWatch>();
    const lastNonce = new Map<string, string>();
    const send = (typeUrl: string, always: boolean): void => {
      const watch = watches.get(typeUrl);
      if (watch === undefined) return;
      const present = this.#list(typeUrl, watch);
      const same = present.length === watch.sent.size && present.every(([name, bytes]) => watch.sent.get(name) === bytes);
      if (same && !always) return;
      watch.sent.clear();
      for (const [name, bytes] of present) watch.sent.set(name, bytes);
      if (present.length === 0 && !watch.wildcard) return;
      const nonce = `n${++this.#nonce}`;
      lastNonce.set(typeUrl, nonce);
      call.write({
        type_url: typeUrl,
        version_info: this.version,
        nonce,
        resources: present.map(([, value]) => ({ type_url: typeUrl, value })),
      });
    };
    const stream: OpenStream = {
      push: () => {
        for (const kind of pushOrder) send(discoveryTypeUrls[kind], false);
      },
      end: () => call.end(),
    };
    this.#streams.add(stream);
    call.on('data', (request: SotwRequest) => {
      this.#note(method, number, request as DeltaRequest & SotwRequest);
      const typeUrl = request.type_url as string;
      if (request.response_nonce && request.response_nonce !== lastNonce.get(typeUrl)) return;
      const names = request.resource_names ?? [];
      const watch = watches.get(typeUrl) ?? { wildcard: wildcardTypes.has(typeUrl), names: new Set<string>(), sent: new Map() };
      const first = !watches.has(typeUrl);
      const changed = names.length !== watch.names.size || names.some(name => !watch.names.has(name));
      watch.names.clear();
      for (const name of names) watch.names.add(name);
      watches.set(typeUrl, watch);
      if (first || changed) send(typeUrl, true);
    });
    this.#closeWith(call, stream);
  }

  #closeWith(call: { on(event: string, listener: () => void): unknown; end(): void }, stream: OpenStream): void {
    call.on('end', () => {
      this.#streams.delete(stream);
      call.end();
    });
    call.on('cancelled', () => this.#streams.delete(stream));
    call.on('error', () => this.#streams.delete(stream));
  }
}
