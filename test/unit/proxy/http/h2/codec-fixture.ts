/** Codecs on a connection that keeps what is written, with users that keep what they are told. */
import { TimerWheel } from '../../../../../common/timer-wheel.ts';
import type { Http2ProtocolOptionsModel } from '../../../../../proxy/config/model/http2-protocol-options.ts';
import type {
  ClientCodec,
  RequestDecoder,
  RequestEncoder,
  ResponseEncoder,
  ServerCodec,
} from '../../../../../proxy/http/codec.ts';
import { createClientCodec } from '../../../../../proxy/http/h2/client-codec.ts';
import { Http2CodecStats } from '../../../../../proxy/http/h2/codec-stats.ts';
import type { Http2Options } from '../../../../../proxy/http/h2/options.ts';
import { createServerCodec } from '../../../../../proxy/http/h2/server-codec.ts';
import { HeaderMap } from '../../../../../proxy/http/header-map.ts';
import type { Connection } from '../../../../../proxy/network/connection.ts';
import type { StatsStore } from '../../../../../proxy/telemetry/stats-store.ts';
import { clientHello, FrameLog, serverHello } from '../../../../support/http2-wire.ts';

export const envoyDefaults: Http2ProtocolOptionsModel = {
  hpackTableBytes: 4096,
  maxConcurrentStreams: 1024,
  initialStreamWindowBytes: 16 * 1024 * 1024,
  initialConnectionWindowBytes: 24 * 1024 * 1024,
  allowConnect: false,
  maxOutboundFrames: 10_000,
  maxOutboundControlFrames: 1000,
  maxConsecutiveInboundFramesWithEmptyPayload: 1,
  maxInboundPriorityFramesPerStream: 100,
  maxInboundWindowUpdateFramesPerDataFrameSent: 10,
  streamErrorOnInvalidHttpMessaging: false,
  connectionKeepalive: null,
};

export interface Stats {
  readonly counts: Map<string, number>;
  readonly codec: Http2CodecStats;
}

export function makeStats(): Stats {
  const counts = new Map<string, number>();
  const add = (name: string, amount: number) => counts.set(name, (counts.get(name) ?? 0) + amount);
  const metric = (name: string) => ({
    inc: () => add(name, 1),
    dec: () => add(name, -1),
    add: (amount: number) => add(name, amount),
  });
  const store = { counter: metric, gauge: metric, histogram: metric } as unknown as StatsStore;
  return { counts, codec: new Http2CodecStats(store, '') };
}

/** A connection whose peer may stop reading: then nothing leaves `bufferedBytes`. */
export interface PeerConnection extends Connection {
  readonly frames: FrameLog;
  written: Buffer[];
  closed: string | null;
  stalled: boolean;
  bufferedBytes: number;
}

export function makeConnection(bufferLimitBytes: number): PeerConnection {
  const connection = {
    frames: new FrameLog(),
    written: [] as Buffer[],
    closed: null as string | null,
    stalled: false,
    state: 'open',
    bufferedBytes: 0,
    bufferLimitBytes,
    info: { transportFailureReason: '' },
    write(data: Buffer) {
      connection.written.push(Buffer.from(data));
      if (connection.stalled) connection.bufferedBytes += data.length;
    },
    close(type: string) {
      connection.closed = type;
    },
  };
  return connection as unknown as PeerConnection;
}

export interface CodecSetup {
  readonly protocol?: Partial<Http2ProtocolOptionsModel>;
  readonly options?: Partial<Http2Options>;
  readonly bufferLimitBytes?: number;
  /** Bytes that the peer begins with, where it is not the usual. */
  readonly hello?: Buffer;
}

export function makeOptions(setup: CodecSetup, stats: Stats): Http2Options {
  return {
    protocol: { ...envoyDefaults, ...setup.protocol },
    maxHeadersBytes: 60 * 1024,
    maxHeadersCount: 100,
    headersWithUnderscores: 'allow',
    stats: stats.codec,
    timers: new TimerWheel(),
    ...setup.options,
  };
}

export function describeHeaders(headers: HeaderMap): string {
  const { method, path, authority, scheme, protocol, status, entries } = headers;
  const pseudo =
    status > 0 ? [String(status)] : [method, `${scheme}://${authority}${path}`, protocol].filter(text => text !== '');
  const rest: string[] = [];
  for (let i = 0; i < entries.length; i += 2)
    rest.push(`${entries[i]}=${entries[i + 1].length > 60 ? entries[i + 1].length : entries[i + 1]}`);
  return [...(method === '' && status === 0 ? [] : pseudo), ...rest].join(' ');
}

export function makeResponse(status: number, ...entries: string[]): HeaderMap {
  const headers = new HeaderMap();
  headers.status = status;
  headers.entries.push(...entries);
  return headers;
}

export function makeRequest(method = 'GET', ...entries: string[]): HeaderMap {
  const headers = new HeaderMap();
  headers.method = method;
  headers.scheme = 'http';
  headers.authority = 'h';
  headers.path = '/';
  headers.entries.push(...entries);
  return headers;
}

/** What was written since the last look, once the event is over. */
async function readWritten(connection: PeerConnection): Promise<string[]> {
  await Promise.resolve();
  const bytes = Buffer.concat(connection.written);
  connection.written = [];
  return connection.frames.read(bytes);
}

export interface ServerFixture {
  readonly codec: ServerCodec;
  readonly connection: PeerConnection;
  readonly stats: Stats;
  /** What the streams' users were told, with the stream's place in order of arrival. */
  readonly events: string[];
  readonly encoders: ResponseEncoder[];
  /** What the codec wrote by itself. */
  readonly greeting: readonly string[];
  feed(...frames: Buffer[]): void;
  written(): Promise<string[]>;
}

/** A server whose client has said hello. */
export async function makeServer(setup: CodecSetup = {}): Promise<ServerFixture> {
  const stats = makeStats();
  const connection = makeConnection(setup.bufferLimitBytes ?? 0);
  const events: string[] = [];
  const encoders: ResponseEncoder[] = [];
  const newStream = (encoder: ResponseEncoder): RequestDecoder => {
    const place = encoders.push(encoder);
    const tell = (text: string) => events.push(`${place} ${text}`);
    return {
      onRequestHeaders: (headers, endStream) => tell(`${describeHeaders(headers)}${endStream ? ' END' : ''}`),
      onRequestData: (data, endStream) =>
        tell(`data ${data.length > 40 ? `[${data.length}]` : data.toString('latin1')}${endStream ? ' END' : ''}`),
      onRequestTrailers: trailers => tell(`trailers ${describeHeaders(trailers)}`),
      onReset: reason => tell(`reset ${reason} ${encoder.responseDetails}`.trim()),
      onAboveWriteBufferHighWatermark: () => tell('above'),
      onBelowWriteBufferLowWatermark: () => tell('below'),
      sendLocalReply: status => tell(`reply ${status}`),
      onEncodeComplete: () => tell('encode complete'),
    };
  };
  const codec = createServerCodec(connection, makeOptions(setup, stats), {
    newStream,
    onProtocolError: (details, isFlood) => events.push(`${isFlood ? 'flood' : 'error'} ${details}`),
  });
  const feed = (...frames: Buffer[]) => codec.dispatch(Buffer.concat(frames), false);
  feed(setup.hello ?? clientHello);
  const greeting = await readWritten(connection);
  return { codec, connection, stats, events, encoders, greeting, feed, written: () => readWritten(connection) };
}

export interface ClientFixture {
  readonly codec: ClientCodec;
  readonly connection: PeerConnection;
  readonly stats: Stats;
  readonly events: string[];
  readonly greeting: readonly string[];
  feed(...frames: Buffer[]): void;
  /** Begins a stream; its events carry `name`. */
  begin(name: string): RequestEncoder;
  written(): Promise<string[]>;
}

/** A client whose server has said hello. */
export async function makeClient(setup: CodecSetup = {}): Promise<ClientFixture> {
  const stats = makeStats();
  const connection = makeConnection(setup.bufferLimitBytes ?? 0);
  const events: string[] = [];
  const codec = createClientCodec(connection, makeOptions(setup, stats), {
    onStreamComplete: reusable => events.push(`complete ${reusable}`),
    onGoAway: () => events.push('goaway'),
    onMaxConcurrentStreams: count => events.push(`max streams ${count}`),
    onProtocolError: (details, isFlood) => events.push(`${isFlood ? 'flood' : 'error'} ${details}`),
  });
  const begin = (name: string): RequestEncoder =>
    codec.newStream({
      onResponse1xxHeaders: headers => events.push(`${name} 1xx ${describeHeaders(headers)}`),
      onResponseHeaders: (headers, endStream) => events.push(`${name} ${describeHeaders(headers)}${endStream ? ' END' : ''}`),
      onResponseData: (data, endStream) => events.push(`${name} data ${data.toString('latin1')}${endStream ? ' END' : ''}`),
      onResponseTrailers: trailers => events.push(`${name} trailers ${describeHeaders(trailers)}`),
      onReset: (reason, cause) => events.push(`${name} reset ${reason} ${cause}`.trim()),
      onAboveWriteBufferHighWatermark: () => events.push(`${name} above`),
      onBelowWriteBufferLowWatermark: () => events.push(`${name} below`),
    });
  const feed = (...frames: Buffer[]) => codec.dispatch(Buffer.concat(frames), false);
  feed(setup.hello ?? serverHello);
  const greeting = await readWritten(connection);
  return { codec, connection, stats, events, greeting, feed, begin, written: () => readWritten(connection) };
}
