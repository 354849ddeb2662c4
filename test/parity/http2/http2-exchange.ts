/** Drives one HTTP/2 case through one proxy. */
import { connect, type Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import type { Lane } from '../bootstrap.ts';
import type { CaseExchange } from '../comparison.ts';
import type { Seen } from '../exchange.ts';
import type { Activity, Probe } from '../probe.ts';
import { Upstream } from '../upstream.ts';
import type { Http2Case } from './http2-case.ts';
import { Http2Client, Http2Upstream } from './http2-ends.ts';

const quietMs = 150;
const untilMs = 20_000;

export class Http2Exchange implements CaseExchange {
  readonly #case: Http2Case;
  readonly #activity: Activity = { count: 0 };
  readonly #upstream: Http2Upstream | Upstream;
  #probe: Probe | null = null;
  #client: Http2Client | RawClient | null = null;

  constructor(http2Case: Http2Case) {
    const { upstream, upstreamSettings = {} } = http2Case;
    this.#case = http2Case;
    this.#upstream =
      typeof upstream === 'object'
        ? new Upstream(upstream.http1, this.#activity, () => this.#rest())
        : new Http2Upstream(upstream, upstreamSettings, this.#activity);
  }

  async openLane(logPath: string): Promise<Lane> {
    return { case: this.#case, logPath, upstreamPort: await this.#upstream.listen(), secondUpstreamPort: 0 };
  }

  async #rest(): Promise<void> {
    await this.#probe?.rest(this.#activity, 0);
  }

  async run(listenerPort: number, probe: Probe): Promise<Seen> {
    this.#probe = probe;
    const { requests, until = /^/ } = this.#case;
    const client =
      typeof requests === 'string'
        ? new RawClient(listenerPort, requests, this.#activity)
        : await this.#sendAll(new Http2Client(listenerPort, this.#activity));
    this.#client = client;
    const deadline = Date.now() + untilMs;
    while (!until.test(client.seen) && Date.now() < deadline) await wait(10);
    await probe.rest(this.#activity, quietMs);
    const { seen } = client;
    client.close();
    await probe.rest(this.#activity, 0);
    return { client: seen, clientEnd: 'open', upstream: this.#upstream.received, secondUpstream: [] };
  }

  async #sendAll(client: Http2Client): Promise<Http2Client> {
    const { requests } = this.#case;
    if (typeof requests === 'string') return client;
    for (const [index, request] of requests.entries()) {
      if (index > 0 && !request.together) await this.#rest();
      await client.send(request, () => this.#rest());
    }
    return client;
  }

  close(): void {
    this.#client?.close();
    this.#upstream.close();
  }
}

/** The bytes of an HTTP/1 client. */
class RawClient {
  readonly #socket: Socket;
  seen = '';

  constructor(port: number, bytes: string, activity: Activity) {
    this.#socket = connect({ port, host: '127.0.0.1' });
    this.#socket.on('data', chunk => {
      this.seen += chunk.toString('latin1');
      activity.count++;
    });
    this.#socket.on('error', () => {});
    this.#socket.on('close', () => {
      this.seen += '[closed]';
      activity.count++;
    });
    this.#socket.write(bytes, 'latin1');
  }

  close(): void {
    this.#socket.destroy();
  }
}
