/** The two HTTP/2 ends of a case. What they see is written like HTTP/1: pseudo headers, headers, a blank line, the body. */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { Activity } from '../probe.ts';
import type { Http2Answer, Http2Request } from './http2-case.ts';

const cancel = 8;

/** What one end has seen of one stream. */
class Transcript {
  text = '';
  readonly #activity: Activity;

  constructor(activity: Activity) {
    this.#activity = activity;
    activity.count++;
  }

  add(text: string): void {
    this.text += text;
    this.#activity.count++;
  }

  addHeaders(label: string, headers: IncomingHttpHeaders): void {
    const lines = Object.entries(headers).flatMap(([name, value]) => [value].flat().map(each => `${name}: ${each}\r\n`));
    // The order of pseudo headers has no meaning.
    const pseudo = lines.filter(line => line.startsWith(':')).sort();
    const regular = lines.filter(line => !line.startsWith(':'));
    this.add(`${label}\r\n${pseudo.join('')}${regular.join('')}\r\n`);
  }

  addEnd(stream: ClientHttp2Stream | ServerHttp2Stream): void {
    const { rstCode } = stream;
    this.add(rstCode === 0 || rstCode === undefined ? '[end]' : `[reset ${rstCode}]`);
  }
}

const answerOk: Http2Answer = stream => {
  stream.respond({ ':status': 200 });
  stream.end('ok');
};

export class Http2Upstream {
  readonly #server: Http2Server;
  readonly #streams: Transcript[] = [];
  readonly #sessions = new Set<{ destroy(): void }>();

  constructor(answer: Http2Answer = answerOk, settings: object, activity: Activity) {
    this.#server = createServer({ settings });
    let sessionCount = 0;
    this.#server.on('session', session => {
      const index = ++sessionCount;
      this.#sessions.add(session);
      session.on('error', () => {});
      session.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
        const transcript = new Transcript(activity);
        this.#streams.push(transcript);
        transcript.addHeaders(`[connection ${index}]`, headers);
        stream.on('error', () => {});
        stream.on('data', chunk => transcript.add(chunk.toString('latin1')));
        stream.on('trailers', trailers => transcript.addHeaders('[trailers]', trailers));
        stream.on('close', () => transcript.addEnd(stream));
        answer(stream, headers, this.#streams.length);
      });
    });
  }

  get received(): string[] {
    return this.#streams.map(({ text }) => text);
  }

  /** Returns the port. */
  async listen(): Promise<number> {
    await new Promise<void>((resolve, reject) => this.#server.once('error', reject).listen(0, '127.0.0.1', () => resolve()));
    return (this.#server.address() as AddressInfo).port;
  }

  close(): void {
    this.#server.close();
    for (const session of this.#sessions) session.destroy();
  }
}

export class Http2Client {
  readonly #session: ClientHttp2Session;
  readonly #activity: Activity;
  readonly #streams: Transcript[] = [];
  readonly #connection: Transcript;
  #open = 0;

  constructor(port: number, activity: Activity) {
    this.#activity = activity;
    this.#connection = new Transcript(activity);
    this.#session = connect(`http://127.0.0.1:${port}`);
    this.#session.on('error', () => {});
    this.#session.on('goaway', code => this.#connection.add(`[goaway ${code}]`));
    this.#session.on('close', () => this.#connection.add('[closed]'));
  }

  get hasOpenStreams(): boolean {
    return this.#open > 0 && !this.#session.destroyed;
  }

  get seen(): string {
    return [...this.#streams.map(({ text }) => text), this.#connection.text].join('\r\n----\r\n');
  }

  /** `rest` is awaited between the pieces of a body. */
  async send(request: Http2Request, rest: () => Promise<void>): Promise<void> {
    const { headers, body, trailers, open, reset, onResponse } = request;
    if (this.#session.closed || this.#session.destroyed) {
      this.#connection.add('[refused]');
      return;
    }
    const endStream = body === undefined && trailers === undefined && !open;
    const defaults = { ':method': body === undefined ? 'GET' : 'POST', ':path': '/', ':authority': 'a.test' };
    const stream = this.#session.request({ ...defaults, ...headers }, { endStream, waitForTrailers: trailers !== undefined });
    this.#watch(stream, onResponse);
    if (trailers !== undefined) stream.on('wantTrailers', () => stream.sendTrailers(trailers));
    for (const [index, piece] of [body ?? []].flat().entries()) {
      if (index > 0) await rest();
      stream.write(Buffer.from(piece, 'latin1'));
      this.#activity.count++;
    }
    if (!endStream && !open) stream.end();
    if (reset === undefined) return;
    await rest();
    stream.close(reset);
  }

  #watch(stream: ClientHttp2Stream, onResponse: Http2Request['onResponse']): void {
    const transcript = new Transcript(this.#activity);
    this.#streams.push(transcript);
    this.#open++;
    stream.on('error', () => {});
    stream.on('headers', headers => transcript.addHeaders('[informational]', headers));
    stream.on('response', headers => {
      transcript.addHeaders('[response]', headers);
      onResponse?.(stream);
    });
    stream.on('data', chunk => transcript.add(chunk.toString('latin1')));
    stream.on('trailers', headers => transcript.addHeaders('[trailers]', headers));
    stream.on('close', () => {
      this.#open--;
      transcript.addEnd(stream);
    });
  }

  close(): void {
    this.#session.destroy(undefined, cancel);
  }
}
