/**
 * A connection as filters and codecs see it, downstream or upstream, plain or TLS. The implementation (transport over a
 * socket) is the only place that touches Node's sockets.
 */
import type { Address, SocketAddress } from '../config/model/address.ts';
import type { Metadata } from '../config/model/matchers.ts';
import type { ConnectionRecord } from './connection-record.ts';
import type { PassthroughState } from './passthrough-state.ts';

/** How a connection is closed; the names are Envoy's `ConnectionCloseType`. */
export type CloseType =
  /** Send what is buffered, then close. */
  | 'flush-write'
  /** Send what is buffered, half close, and wait up to the delayed close timeout for the peer to close. */
  | 'flush-write-and-delay'
  /** Drop what is buffered and close. */
  | 'no-flush'
  /** Send a RST. */
  | 'abort-reset';

/** Who ended a connection. `local-reset` and `remote-reset` are RSTs. */
export type CloseEvent = 'remote-close' | 'local-close' | 'remote-reset' | 'local-reset';

/** Facts of a finished TLS handshake. */
export interface TlsInfo {
  readonly version: string;
  readonly cipher: string;
  /** Negotiated ALPN; empty if none. */
  readonly alpn: string;
  /** SNI of the client hello; empty if none. */
  readonly serverName: string;
  readonly resumed: boolean;
  readonly sessionId: string;
  /** A peer certificate was presented and passed validation. */
  readonly peerCertificateValidated: boolean;
  readonly peerCertificatePresented: boolean;
  readonly peer: CertificateInfo | null;
  readonly local: CertificateInfo | null;
}

export interface CertificateInfo {
  readonly uriSans: readonly string[];
  readonly dnsSans: readonly string[];
  /** RFC 2253. */
  readonly subject: string;
  readonly issuer: string;
  readonly serialNumber: string;
  /** Hex SHA-256 of the DER, lower case. */
  readonly sha256: string;
  /** URL-encoded PEM, made on demand. */
  readonly pem: string;
  /** The same of every certificate that the peer sent, itself first. After a resumed handshake only its own is known. */
  readonly pemChain: string;
  readonly validFromMs: number;
  readonly validToMs: number;
}

/** What upstream connections made for a downstream connection look like from outside (`original_src`). */
export interface OriginalSource {
  /** The client's address; port 0: any. */
  readonly address: SocketAddress;
  /** SO_MARK, by which routing tells these packets from the client's own; 0: none. */
  readonly mark: number;
}

/** What is known of a connection besides its bytes. */
export interface ConnectionInfo {
  /** Unique in the process; a worker counts in its own range. */
  readonly id: number;
  /** The address the peer connected to before redirection (downstream), or our own address (upstream). */
  readonly localAddress: Address;
  /** Where the kernel accepted it, when the destination was restored. */
  readonly directLocalAddress: Address;
  readonly localAddressRestored: boolean;
  readonly remoteAddress: Address;
  readonly directRemoteAddress: Address;
  /** Upstream connections bind to this source; null: they choose their own. */
  readonly originalSource: OriginalSource | null;
  /** SNI seen by the TLS inspector or the handshake; empty if none. */
  readonly requestedServerName: string;
  /** ALPNs of the client hello or of the HTTP inspector. */
  readonly requestedApplicationProtocols: readonly string[];
  /** `tls` or `raw_buffer`, as detected. */
  readonly transportProtocol: string;
  readonly tls: TlsInfo | null;
  readonly startTimeMs: number;
  /** Why the transport failed, in Envoy's words; empty while it has not. */
  readonly transportFailureReason: string;
  readonly listenerName: string;
  readonly filterChainName: string;
  /** Of downstream connections. */
  readonly listenerMetadata?: Metadata | null;
  readonly filterChainMetadata?: Metadata | null;
  /** Of connections of internal listeners. */
  readonly passthrough?: PassthroughState | null;
}

/** Receives what happens on a connection. No call comes after onClose. */
export interface ConnectionCallbacks {
  /**
   * Bytes arrived. `data` may be reused by the caller when the call returns: copy what is kept; what goes to another
   * connection's `write` in the same call is safe. With `endStream` the peer will send no more; data may then be empty.
   */
  onData(data: Buffer, endStream: boolean): void;
  /** The upstream connection is established, handshake included. */
  onConnected?(): void;
  onClose(event: CloseEvent): void;
  /** Bytes waiting to be written crossed the high watermark: stop producing. */
  onAboveWriteBufferHighWatermark?(): void;
  onBelowWriteBufferLowWatermark?(): void;
}

export interface Connection {
  readonly info: ConnectionInfo;
  readonly state: 'connecting' | 'open' | 'half-closed' | 'closed';
  /** Exactly one consumer. */
  callbacks: ConnectionCallbacks;
  /** Bytes accepted by write() that the kernel has not taken. */
  readonly bufferedBytes: number;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  /** Writes; with `endStream` a half close follows. Writes of one event loop turn may be coalesced into one system call. */
  write(data: Buffer, endStream: boolean): void;
  /** The same for text whose characters are bytes (latin1), as message heads are. */
  writeLatin1(text: string, endStream: boolean): void;
  /** Counted: reading goes on when every disable was undone. */
  readDisable(disable: boolean): void;
  close(type: CloseType, details?: string): void;
  /** Write buffer limits in bytes; 0: no limit. */
  setBufferLimit(bytes: number): void;
  readonly bufferLimitBytes: number;
  setNoDelay(enabled: boolean): void;
  /** Half closes are delivered as `endStream` instead of closing the connection. */
  enableHalfClose(enabled: boolean): void;
  setDelayedCloseTimeoutMs(timeoutMs: number): void;
}

/** A connection that was accepted, as listener filters and the transport socket see it. */
export interface AcceptedConnection extends Connection {
  readonly info: ConnectionRecord;
  /** Of the socket; -1: there is none. */
  readonly descriptor: number;
  /** False once it was closed. */
  readonly isOpen: boolean;
  /** Until then nothing is delivered. */
  startReading(): void;
  /** Delivers bytes that were read before the callbacks were set; they are counted already. */
  deliverPeeked(data: Buffer): void;
}
