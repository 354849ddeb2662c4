/** `envoy.config.core.v3.Http2ProtocolOptions` after compilation: every field is set. */
export interface Http2ProtocolOptionsModel {
  /** The largest dynamic table that this side's decoder and encoder use, in bytes. */
  readonly hpackTableBytes: number;
  /** Streams that the peer may have open (server), or that one connection may carry (client). */
  readonly maxConcurrentStreams: number;
  /** Bytes of a stream that the peer may send before it hears of their consumption. */
  readonly initialStreamWindowBytes: number;
  /** The same for all streams of a connection together. */
  readonly initialConnectionWindowBytes: number;
  /** Extended CONNECT is announced and accepted (server). */
  readonly allowConnect: boolean;
  /** Frames waiting to be sent, of every type. */
  readonly maxOutboundFrames: number;
  /** Of these, acknowledgements and resets. */
  readonly maxOutboundControlFrames: number;
  readonly maxConsecutiveInboundFramesWithEmptyPayload: number;
  readonly maxInboundPriorityFramesPerStream: number;
  readonly maxInboundWindowUpdateFramesPerDataFrameSent: number;
  /** An invalid message ends its stream only; else it ends the connection. */
  readonly streamErrorOnInvalidHttpMessaging: boolean;
  readonly connectionKeepalive: ConnectionKeepaliveModel | null;
}

/** `envoy.config.core.v3.KeepaliveSettings`: PINGs that the peer must answer. */
export interface ConnectionKeepaliveModel {
  /** Between PINGs; 0: none are sent on a schedule. */
  readonly intervalMs: number;
  /** A random part of the interval, up to this, is added. */
  readonly intervalJitterPercent: number;
  /** For the answer; then the connection is closed. */
  readonly timeoutMs: number;
  /** A new stream on a connection that was idle this long sends a PING with it; 0: never. */
  readonly connectionIdleIntervalMs: number;
}
