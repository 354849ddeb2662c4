/**
 * Peer metadata at the start of a TCP connection whose ALPN promises it: each side sends one message before its first bytes,
 * and strips the other's. On any other ALPN the bytes pass.
 */
import type {
  NetworkFactoryContext,
  NetworkFilter,
  NetworkFilterCallbacks,
  NetworkFilterFactory,
} from '../../../../network/filter.ts';
import { FilterStatus } from '../../../../network/filter.ts';
import {
  decodeInitialMessage,
  downstreamPeerKey,
  downstreamPeerNotFoundKey,
  encodeInitialMessage,
  initialHeaderBytes,
  peerMetadataHeader,
  upstreamPeerNotFoundKey,
  peerObjectSuffix,
  readInitialHeader,
  toCelPeer,
  toWorkloadMetadata,
  upstreamPeerKey,
} from '../../../../telemetry/peer-metadata.ts';
import type { Counter } from '../../../../telemetry/stats-store.ts';
import type { PlainStruct } from '../../../../telemetry/struct-codec.ts';

export interface MetadataExchangeModel {
  /** The ALPN that promises an exchange. */
  readonly protocol: string;
  readonly additionalLabels: readonly string[];
}

interface MetadataExchangeConfig {
  readonly model: MetadataExchangeModel;
  readonly peerKey: string;
  readonly notFoundKey: string;
  readonly message: Buffer;
  readonly alpnFound: Counter;
  readonly alpnNotFound: Counter;
  readonly initialHeaderNotFound: Counter;
  readonly headerNotFound: Counter;
  readonly metadataAdded: Counter;
}

type State = 'start' | 'reading' | 'done';

class MetadataExchangeFilter implements NetworkFilter {
  readonly #config: MetadataExchangeConfig;
  readonly #callbacks: NetworkFilterCallbacks;
  #state: State = 'start';
  /** What came of the peer's message so far. */
  #pending: Buffer = Buffer.alloc(0);

  constructor(config: MetadataExchangeConfig, callbacks: NetworkFilterCallbacks) {
    this.#config = config;
    this.#callbacks = callbacks;
  }

  onData(data: Buffer, endStream: boolean): FilterStatus {
    if (this.#state === 'start') this.#start();
    if (this.#state === 'done') return FilterStatus.continue;
    const bytes = this.#pending.length === 0 ? data : Buffer.concat([this.#pending, data]);
    const length = this.#readMessage(bytes);
    if (length === null) {
      // The peer's message is not whole.
      if (!endStream) {
        this.#pending = Buffer.from(bytes);
        return FilterStatus.stop;
      }
      this.#state = 'done';
      return this.#passRest(bytes, endStream, bytes === data);
    }
    this.#state = 'done';
    return this.#passRest(bytes.subarray(length), endStream, bytes === data && length === 0);
  }

  onWrite(): FilterStatus {
    if (this.#state === 'start') this.#start();
    return FilterStatus.continue;
  }

  #passRest(rest: Buffer, endStream: boolean, isUnchanged: boolean): FilterStatus {
    this.#pending = Buffer.alloc(0);
    if (isUnchanged) return FilterStatus.continue;
    if (rest.length > 0 || endStream) this.#callbacks.passReadData(rest, endStream);
    return FilterStatus.stop;
  }

  #start(): void {
    const alpn = this.#callbacks.connection.info.tls?.alpn ?? '';
    if (alpn !== this.#config.model.protocol) {
      this.#config.alpnNotFound.inc();
      this.#markNotFound();
      this.#state = 'done';
      return;
    }
    this.#config.alpnFound.inc();
    this.#state = 'reading';
    this.#callbacks.passWriteData(this.#config.message, false);
    this.#config.metadataAdded.inc();
  }

  /** How many bytes the peer's message has, 0 if there is none, null if more must come. */
  #readMessage(bytes: Buffer): number | null {
    if (bytes.length < initialHeaderBytes) {
      this.#config.initialHeaderNotFound.inc();
      return null;
    }
    const length = readInitialHeader(bytes);
    if (length === null) {
      this.#config.initialHeaderNotFound.inc();
      this.#markNotFound();
      return 0;
    }
    const end = initialHeaderBytes + length;
    if (bytes.length < end) return null;
    const struct = decodeInitialMessage(bytes.subarray(initialHeaderBytes, end));
    if (struct === null) {
      this.#config.headerNotFound.inc();
      this.#markNotFound();
      // As the original: the header is gone, what follows it is taken for the application's.
      return initialHeaderBytes;
    }
    this.#setPeer(struct);
    return end;
  }

  #setPeer(struct: PlainStruct): void {
    const metadata = struct[peerMetadataHeader];
    if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata)) return;
    const { peerKey, model } = this.#config;
    const workload = toWorkloadMetadata(metadata as PlainStruct, model.additionalLabels);
    const { streamInfo } = this.#callbacks;
    streamInfo.setFilterState(peerKey, toCelPeer(workload));
    streamInfo.setFilterState(`${peerKey}${peerObjectSuffix}`, workload);
  }

  #markNotFound(): void {
    this.#callbacks.streamInfo.setFilterState(this.#config.notFoundKey, true);
  }
}

export function createMetadataExchangeFilter(model: MetadataExchangeModel, context: NetworkFactoryContext): NetworkFilterFactory {
  const { stats } = context;
  const config: MetadataExchangeConfig = {
    model,
    peerKey: context.listener === null ? upstreamPeerKey : downstreamPeerKey,
    notFoundKey: context.listener === null ? upstreamPeerNotFoundKey : downstreamPeerNotFoundKey,
    message: encodeInitialMessage(context.node, model.additionalLabels),
    alpnFound: stats.counter('metadata_exchange.alpn_protocol_found'),
    alpnNotFound: stats.counter('metadata_exchange.alpn_protocol_not_found'),
    initialHeaderNotFound: stats.counter('metadata_exchange.initial_header_not_found'),
    headerNotFound: stats.counter('metadata_exchange.header_not_found'),
    metadataAdded: stats.counter('metadata_exchange.metadata_added'),
  };
  return callbacks => new MetadataExchangeFilter(config, callbacks);
}
