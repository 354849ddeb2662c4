/**
 * A connection between two parts of this worker: an upstream connection at one end, an accepted one of an internal listener at
 * the other. There is no socket between them. Bytes that are written during an event are handed over, not copied, when the
 * event ends; only what a paused reader leaves is kept.
 *
 * Source: Envoy's user space sockets, and how they end: who closes without having read the end of the stream resets its peer.
 */
import { type Address, formatAddress } from '../config/model/address.ts';
import type { AcceptedConnection, CloseEvent, CloseType, Connection, ConnectionCallbacks } from './connection.ts';
import { ConnectionRecord } from './connection-record.ts';
import type { PassthroughState } from './passthrough-state.ts';
import { beginDispatch, endDispatch, type Flushable, scheduleFlush } from './write-coalescing.ts';

const noBytes = Buffer.alloc(0);
const ignore: ConnectionCallbacks = { onData() {}, onClose() {} };
/** As Envoy calls a connect to nobody. */
const refusal = 'Invalid argument';
/** Whom the accepted end takes for its peer. */
const clientAddress: Address = { kind: 'internal', listener: 'internal_client_address', endpointId: '' };

export class InternalConnection implements AcceptedConnection, Flushable {
  readonly info: ConnectionRecord;
  readonly descriptor = -1;
  callbacks: ConnectionCallbacks = ignore;
  state: Connection['state'];
  bufferLimitBytes = 0;
  bytesReceived = 0;
  bytesSent = 0;
  /** Null once it is closed. */
  #peer: InternalConnection | null = null;
  /** Written during the current event; may point into buffers of others. */
  #outgoing: Buffer[] = [];
  #outgoingBytes = 0;
  #writeEnded = false;
  /** Handed over by the peer while nobody read. */
  #incoming: Buffer[] = [];
  #incomingBytes = 0;
  #incomingEnd = false;
  #readEnded = false;
  /** The peer closed; what it had written is read first. */
  #isAbandoned = false;
  #noticesEndLater = false;
  #readDisabled: number;
  #halfClose = false;
  #isAboveWatermark = false;
  #isScheduled = false;

  constructor(info: ConnectionRecord, state: 'connecting' | 'open', readDisabled: number) {
    this.info = info;
    this.state = state;
    this.#readDisabled = readDisabled;
  }

  /** Makes the accepted end for this, the client's. Nothing is read there before `startReading`. */
  createPeer(passthrough: PassthroughState | null): InternalConnection {
    const info = new ConnectionRecord(this.info.remoteAddress, this.info.localAddress);
    info.passthrough = passthrough;
    const peer = new InternalConnection(info, 'open', 1);
    peer.#peer = this;
    this.#peer = peer;
    return peer;
  }

  /** Its peer is there. */
  get isConnected(): boolean {
    return this.#peer !== null;
  }

  get isOpen(): boolean {
    return this.state !== 'closed';
  }

  // Writing

  write(data: Buffer, endStream: boolean): void {
    if (this.state === 'closed' || this.#writeEnded) return;
    this.bytesSent += data.length;
    if (data.length > 0) {
      this.#outgoing.push(data);
      this.#outgoingBytes += data.length;
    }
    if (endStream) {
      this.#writeEnded = true;
      if (this.state === 'open') this.state = 'half-closed';
    }
    this.#schedule();
  }

  writeLatin1(text: string, endStream: boolean): void {
    this.write(Buffer.from(text, 'latin1'), endStream);
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    scheduleFlush(this);
  }

  /** Both directions: what was written goes to the peer, what the peer left here goes to the reader. */
  flush(): boolean {
    this.#isScheduled = false;
    if (this.#incoming.length > 0) this.#deliverIncoming();
    if (this.state !== 'closed') this.#handOver(true);
    return false;
  }

  /** Nothing here points into anybody's buffer after `flush`. */
  keep(): void {}

  /** `mayCall`: the peer may be called now; else it is given copies, to read when this event is over. */
  #handOver(mayCall: boolean): void {
    const data = this.#outgoing;
    if (data.length === 0 && !this.#writeEnded) return;
    this.#outgoing = [];
    this.#outgoingBytes = 0;
    const peer = this.#peer;
    if (peer === null) return;
    for (const chunk of data) peer.#receive(chunk, mayCall);
    if (this.#writeEnded && !peer.#incomingEnd && !peer.#readEnded) {
      peer.#incomingEnd = true;
      peer.#noticeEnd();
      if (this.#readEnded) this.#noticeEnd();
    }
    this.#observeWatermark();
  }

  get bufferedBytes(): number {
    const peer = this.#peer;
    return this.#outgoingBytes + (peer === null ? 0 : peer.#incomingBytes);
  }

  #observeWatermark(): void {
    if (this.state === 'closed' || this.bufferLimitBytes === 0) return;
    const { bufferedBytes } = this;
    if (!this.#isAboveWatermark && bufferedBytes > this.bufferLimitBytes) {
      this.#isAboveWatermark = true;
      this.callbacks.onAboveWriteBufferHighWatermark?.();
    } else if (this.#isAboveWatermark && bufferedBytes <= this.bufferLimitBytes / 2) {
      this.#isAboveWatermark = false;
      this.callbacks.onBelowWriteBufferLowWatermark?.();
    }
  }

  // Reading

  #receive(data: Buffer, mayRead: boolean): void {
    if (this.state === 'closed') return;
    if (mayRead && this.#readDisabled === 0 && this.#incoming.length === 0) {
      this.#read(data);
      return;
    }
    this.#incoming.push(Buffer.from(data));
    this.#incomingBytes += data.length;
    if (this.#readDisabled === 0) this.#schedule();
  }

  #read(data: Buffer): void {
    this.bytesReceived += data.length;
    this.callbacks.onData(data, false);
  }

  #deliverIncoming(): void {
    while (this.#readDisabled === 0 && this.state !== 'closed') {
      const data = this.#incoming.shift();
      if (data === undefined) break;
      this.#incomingBytes -= data.length;
      this.#read(data);
    }
    const peer = this.#peer;
    if (peer !== null) peer.#observeWatermark();
    if (this.#incoming.length === 0 && (this.#incomingEnd || this.#isAbandoned)) this.#noticeEnd();
  }

  /** Ends are noticed in an event of their own, as those of sockets: whoever caused one is done by then. */
  #noticeEnd(): void {
    if (this.#noticesEndLater) return;
    this.#noticesEndLater = true;
    setImmediate(() => {
      this.#noticesEndLater = false;
      beginDispatch();
      this.#onEnd();
      endDispatch();
    });
  }

  #onEnd(): void {
    if (this.state === 'closed' || this.#incoming.length > 0) return;
    if (this.#incomingEnd && this.#readDisabled === 0) this.#onReadEnd();
    if (this.isOpen && this.#readEnded && this.#writeEnded) this.#finish('local-close');
    if (this.isOpen && this.#isAbandoned) this.#finish(this.#halfClose ? 'remote-reset' : 'remote-close');
  }

  #onReadEnd(): void {
    this.#incomingEnd = false;
    this.#readEnded = true;
    if (!this.#halfClose) {
      this.#finish('remote-close');
      return;
    }
    this.state = 'half-closed';
    this.callbacks.onData(noBytes, true);
    if (this.isOpen && this.#writeEnded) this.#finish('remote-close');
  }

  readDisable(disable: boolean): void {
    if (this.state === 'closed') return;
    if (disable) this.#readDisabled++;
    else if (--this.#readDisabled > 0) return;
    else if (this.#incoming.length > 0) this.#schedule();
    else if (this.#incomingEnd || this.#isAbandoned) this.#noticeEnd();
  }

  startReading(): void {
    this.readDisable(false);
  }

  deliverPeeked(data: Buffer): void {
    this.callbacks.onData(data, false);
  }

  // Closing

  /** What was written still reaches the peer, whatever the type: it is as good as there. */
  close(_type: CloseType, _details = ''): void {
    if (this.state === 'closed') return;
    this.#handOver(false);
    if (this.isOpen) this.#finish('local-close');
  }

  /** Ends the connection at once and reports why. */
  fail(event: CloseEvent, reason: string): void {
    if (this.state === 'closed') return;
    this.info.transportFailureReason = reason;
    this.#finish(event);
  }

  #finish(event: CloseEvent): void {
    this.state = 'closed';
    this.#incoming = [];
    const peer = this.#peer;
    this.#peer = null;
    if (peer !== null) {
      peer.#peer = null;
      if (!this.#readEnded) peer.#isAbandoned = true;
      else if (!peer.#readEnded) peer.#incomingEnd = true;
      peer.#noticeEnd();
    }
    this.callbacks.onClose(event);
  }

  // Settings

  setBufferLimit(bytes: number): void {
    this.bufferLimitBytes = bytes;
  }
  enableHalfClose(enabled: boolean): void {
    this.#halfClose = enabled;
  }
  setNoDelay(): void {}
  setDelayedCloseTimeoutMs(): void {}
}

/** Takes the accepted end of a connection; false if there is no such listener. */
export type InternalAcceptor = (listener: string, connection: InternalConnection) => boolean;

export interface InternalConnectOptions {
  readonly address: Extract<Address, { kind: 'internal' }>;
  readonly passthrough: PassthroughState | null;
  readonly bufferLimitBytes: number;
  readonly callbacks: ConnectionCallbacks;
  readonly accept: InternalAcceptor;
}

/** Begins to connect to an internal listener. As with sockets, results come by the callbacks and never during the call. */
export function connectInternal(options: InternalConnectOptions): InternalConnection {
  const { address, accept } = options;
  const client = new InternalConnection(new ConnectionRecord(clientAddress, address), 'connecting', 0);
  client.info.transportProtocol = 'raw_buffer';
  client.callbacks = options.callbacks;
  client.setBufferLimit(options.bufferLimitBytes);
  setImmediate(() => {
    if (!client.isOpen) return;
    const peer = client.createPeer(options.passthrough);
    peer.setBufferLimit(options.bufferLimitBytes);
    if (!accept(address.listener, peer)) peer.close('no-flush');
    if (!client.isConnected)
      client.fail('remote-close', `immediate connect error: ${refusal}|remote address:${formatAddress(address)}`);
    // A listener whose own upstream refuses at once is seen before the connection counts as made.
    else setImmediate(() => establish(client));
  });
  return client;
}

function establish(client: InternalConnection): void {
  if (!client.isOpen) return;
  if (!client.isConnected) {
    client.fail('remote-close', `delayed connect error: ${refusal}`);
    return;
  }
  client.state = 'open';
  client.callbacks.onConnected?.();
}
