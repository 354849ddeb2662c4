/** Drives one case of hand-made frames through one proxy: at the client's end, or at the upstream's. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { clientPreface, frameHeaderBytes, FrameType, readUint31 } from '../../../proxy/http/h2/frame.ts';
import { FrameLog, clientHello, serverHello } from '../../support/http2-wire.ts';
import type { Lane } from '../bootstrap.ts';
import type { CaseExchange } from '../comparison.ts';
import type { Seen } from '../exchange.ts';
import type { LaneConfiguration, UpstreamBehaviour } from '../parity-case.ts';
import type { Activity, Probe } from '../probe.ts';
import { Upstream } from '../upstream.ts';

export interface FrameCase extends LaneConfiguration {
  readonly name: string;
  /** What the client sends behind its SETTINGS, piece by piece, each when everything before has come to rest. */
  readonly send?: readonly Buffer[];
  /** What the client begins with instead of preface and SETTINGS. */
  readonly hello?: Buffer;
  /** Where the upstream speaks HTTP/2: its frames for the first request, whose stream is given; `close` ends the connection. */
  readonly answer?: (streamId: number) => readonly (Buffer | 'close')[];
  /** Of the HTTP/1 upstream otherwise. */
  readonly upstream?: UpstreamBehaviour;
  /** Which counters of the lane must have moved alike; default: all. */
  readonly stats?: RegExp;
  readonly differs?: string;
}

const quietMs = 150;
/** Longer than the second that a proxy waits before it closes a connection which it has given up. */
const closeMs = 1500;

/** The fields of a block; the order of pseudo headers has no meaning. */
function describeFields(text: string): string {
  const pseudo = /^(?: :\w+=\S*)*/.exec(text)?.[0] ?? '';
  const others = text
    .slice(pseudo.length)
    .replace(/ date=\w{3}, [^=]*GMT/, ' date=<date>')
    .replace(/ x-request-id=[0-9a-f]{8}-[0-9a-f]{4}-([0-9a-f])[0-9a-f-]{21}/, ' x-request-id=<uuid $1>')
    .replace(/ x-envoy-upstream-service-time=\d+/, ' x-envoy-upstream-service-time=<ms>')
    .replace(/ x-forwarded-port=\d+/, ' x-forwarded-port=<port>');
  return [...pseudo.trim().split(' ').sort(), others.trim()].join(' ').trim();
}

/** A body is one piece, however it was cut: its bytes, or how many they are. */
function joinData(before: string, rest: string): string {
  const end = rest.endsWith(' END') ? ' END' : '';
  const data = before.slice('DATA '.length) + rest.slice(1, rest.length - end.length);
  let bytes = data.replace(/\[\d+\]/g, '').length;
  for (const [, count] of data.matchAll(/\[(\d+)\]/g)) bytes += Number(count);
  return `DATA ${bytes > 40 ? `[${bytes}]` : data}${end}`;
}

/** Frames by stream: their order between streams is free, and windows are the proxy's own affair. */
function describeFrames(bytes: Buffer): string {
  const streams = new Map<number, string[]>();
  for (const line of new FrameLog().read(bytes)) {
    const [, type, stream = '0', rest] = /^(\w+)(?: (\d+))?(.*)$/s.exec(line) as RegExpExecArray;
    if (type === 'WINDOW_UPDATE' || type === 'SETTINGS' || type === 'PREFACE') continue;
    const lines = streams.get(Number(stream)) ?? [];
    streams.set(Number(stream), lines);
    if (type === 'DATA') lines.push(joinData(lines.at(-1)?.startsWith('DATA') ? (lines.pop() as string) : 'DATA ', rest));
    else if (type === 'HEADERS') lines.push(`HEADERS ${describeFields(rest)}`);
    else lines.push(type + rest);
  }
  const sorted = [...streams].sort(([one], [other]) => one - other);
  return sorted.map(([stream, lines]) => `${stream}: ${lines.join(' | ')}`).join('\n');
}

export class FrameExchange implements CaseExchange {
  readonly #case: FrameCase;
  readonly #activity: Activity = { count: 0 };
  readonly #upstream: Upstream | FrameUpstream;
  #probe: Probe | null = null;
  #socket: Socket | null = null;

  constructor(frameCase: FrameCase) {
    this.#case = frameCase;
    const rest = async () => this.#probe?.rest(this.#activity, 0);
    const { answer, upstream } = frameCase;
    this.#upstream =
      answer === undefined ? new Upstream(upstream, this.#activity, rest) : new FrameUpstream(answer, this.#activity, rest);
  }

  async openLane(logPath: string): Promise<Lane> {
    return { case: this.#case, logPath, upstreamPort: await this.#upstream.listen(), secondUpstreamPort: 0 };
  }

  async run(listenerPort: number, probe: Probe): Promise<Seen> {
    this.#probe = probe;
    const { send, hello = clientHello } = this.#case;
    let received: Buffer = Buffer.alloc(0);
    let end: Seen['clientEnd'] = 'open';
    const socket = connect({ port: listenerPort, host: '127.0.0.1' });
    this.#socket = socket;
    socket.on('data', chunk => {
      received = Buffer.concat([received, chunk as Buffer]);
      this.#activity.count++;
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      end = 'fin';
      this.#activity.count++;
    });
    if (send === undefined) socket.write('GET / HTTP/1.1\r\nhost: h\r\n\r\n');
    for (const [index, piece] of (send ?? []).entries()) {
      if (index > 0) await probe.rest(this.#activity, 0);
      socket.write(index === 0 ? Buffer.concat([hello, piece]) : piece);
    }
    await probe.rest(this.#activity, quietMs);
    // One that is to be closed takes its time.
    const deadline = Date.now() + closeMs;
    const isOpen = () => (end as string) === 'open';
    while (isOpen() && Date.now() < deadline) await wait(20);
    if (!isOpen()) await probe.rest(this.#activity, 0);
    const client = send === undefined ? received.toString('latin1') : describeFrames(received);
    const seen = { client, clientEnd: end, upstream: [] as string[], secondUpstream: [] };
    socket.destroy();
    await probe.rest(this.#activity, 0);
    if (this.#upstream instanceof FrameUpstream) seen.upstream.push(this.#upstream.seen);
    return seen;
  }

  close(): void {
    this.#socket?.destroy();
    this.#upstream.close();
  }
}

/** An HTTP/2 upstream that answers the first request with frames made by hand. */
class FrameUpstream {
  readonly #answer: NonNullable<FrameCase['answer']>;
  readonly #activity: Activity;
  readonly #rest: () => Promise<unknown>;
  readonly #server: Server = createServer(socket => this.#serve(socket));
  readonly #sockets = new Set<Socket>();
  #received: Buffer = Buffer.alloc(0);
  #answered = false;

  constructor(answer: NonNullable<FrameCase['answer']>, activity: Activity, rest: () => Promise<unknown>) {
    this.#answer = answer;
    this.#activity = activity;
    this.#rest = rest;
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve, reject) => this.#server.once('error', reject).listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  /** What the proxy sent on its first connection. */
  get seen(): string {
    return describeFrames(this.#received);
  }

  #serve(socket: Socket): void {
    const isFirst = this.#sockets.size === 0 && !this.#answered;
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.#activity.count++);
    socket.write(serverHello);
    socket.on('data', chunk => {
      this.#activity.count++;
      if (!isFirst) return;
      this.#received = Buffer.concat([this.#received, chunk as Buffer]);
      const streamId = findRequest(this.#received);
      if (streamId === 0 || this.#answered) return;
      this.#answered = true;
      void this.#send(socket, streamId);
    });
  }

  async #send(socket: Socket, streamId: number): Promise<void> {
    for (const [index, piece] of this.#answer(streamId).entries()) {
      if (index > 0) await this.#rest();
      this.#activity.count++;
      if (piece === 'close') socket.destroy();
      else socket.write(piece);
    }
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** The stream of the first HEADERS frame, or 0. */
function findRequest(bytes: Buffer): number {
  let at = clientPreface.length;
  while (at + frameHeaderBytes <= bytes.length) {
    const end = at + frameHeaderBytes + bytes.readUIntBE(at, 3);
    if (end > bytes.length) return 0;
    if (bytes[at + 3] === FrameType.headers) return readUint31(bytes, at + 5);
    at = end;
  }
  return 0;
}
