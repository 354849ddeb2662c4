/** Drives one case through one proxy: a raw upstream on one side, a raw client on the other. */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import type { Lane } from './bootstrap.ts';
import type { Outcome, ParityCase } from './parity-case.ts';
import type { Activity, Probe } from './probe.ts';
import { Upstream } from './upstream.ts';

/** Longer than a proxy waits by itself, as before a retry; the waits of whole seconds are named by their cases (`until`). */
const quietMs = 150;
const untilMs = 20_000;

export type Seen = Omit<Outcome, 'log' | 'stats'>;

/** The ends of one case on one proxy. */
export class Exchange {
  readonly #case: ParityCase;
  readonly #activity: Activity = { count: 0 };
  readonly #upstream: Upstream;
  readonly #secondUpstream: Upstream | null;
  #probe: Probe | null = null;
  /** One piece at a time, whoever sends it. */
  #lastPiece: Promise<void> = Promise.resolve();
  #client = '';
  #clientEnd: Outcome['clientEnd'] = 'open';

  constructor(parityCase: ParityCase) {
    this.#case = parityCase;
    const rest = () => this.#rest();
    this.#upstream = new Upstream(parityCase.upstream, this.#activity, rest);
    const second = parityCase.secondUpstream;
    this.#secondUpstream = second === undefined ? null : new Upstream(second, this.#activity, rest);
  }

  /** Starts the upstreams: they stay for the whole run. */
  async openLane(logPath: string): Promise<Lane> {
    const upstreamPort = await this.#upstream.listen();
    const secondUpstreamPort = (await this.#secondUpstream?.listen()) ?? 0;
    return { case: this.#case, logPath, upstreamPort, secondUpstreamPort };
  }

  #rest(): Promise<void> {
    this.#lastPiece = this.#lastPiece.then(() => this.#probe?.rest(this.#activity, 0));
    return this.#lastPiece;
  }

  async run(listenerPort: number, probe: Probe): Promise<Seen> {
    this.#probe = probe;
    const activity = this.#activity;
    const socket = connect({ port: listenerPort, host: '127.0.0.1', allowHalfOpen: true });
    socket.on('data', chunk => {
      this.#client += chunk.toString('latin1');
      activity.count++;
    });
    socket.on('end', () => {
      if (this.#clientEnd === 'open') this.#clientEnd = 'fin';
      activity.count++;
    });
    socket.on('error', () => {
      this.#clientEnd = 'reset';
      activity.count++;
    });
    await new Promise<void>(resolve => socket.once('connect', resolve).once('error', () => resolve()));
    for (const [index, piece] of [this.#case.send].flat().entries()) {
      if (index > 0) await this.#rest();
      activity.count++;
      socket.write(piece, 'latin1');
    }
    if (this.#case.halfClose) socket.end();
    await this.#awaitEnd(probe);
    socket.destroy();
    return {
      client: this.#client,
      clientEnd: this.#clientEnd,
      upstream: [...this.#upstream.received],
      secondUpstream: [...(this.#secondUpstream?.received ?? [])],
    };
  }

  async #awaitEnd(probe: Probe): Promise<void> {
    const { until = isHanging(this.#case) ? /./ : /^/ } = this.#case;
    const deadline = Date.now() + untilMs;
    while (!until.test(this.#client) && this.#clientEnd === 'open' && Date.now() < deadline) await wait(10);
    await probe.rest(this.#activity, quietMs);
  }

  close(): void {
    this.#upstream.close();
    this.#secondUpstream?.close();
  }
}

/** Only a timeout ends these. */
function isHanging({ upstream }: ParityCase): boolean {
  const behaviours = upstream === undefined ? [] : [upstream].flat();
  return behaviours.some(behaviour => 'hang' in behaviour);
}

/** The lines of a lane's log; the proxy must have ended, and so have written it whole. */
export function readLog({ logPath }: Lane): string[] {
  try {
    return readFileSync(logPath, 'latin1')
      .split('\n')
      .filter(line => line !== '');
  } catch {
    return [];
  }
}

/** Replaces what legitimately differs from run to run: time, identifiers, ports. */
export function normalize(outcome: Outcome): Outcome {
  const clean = (text: string) =>
    text
      .replace(/(\r\ndate: )[^\r]*/g, '$1<date>')
      .replace(/(\r\nx-envoy-upstream-service-time: )\d+/g, '$1<ms>')
      .replace(
        /(\r\nx-request-id: [0-9a-f]{8}-[0-9a-f]{4}-)([0-9a-f])[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g,
        '\r\nx-request-id: <uuid $2>',
      )
      // Of a retry: what is left of the timeout.
      .replace(/(\r\nx-envoy-expected-rq-timeout-ms: )\d+(\r\nx-envoy-attempt-count: (?!1\r))/g, '$1<ms>$2')
      .replace(/(\r\nx-forwarded-port: )\d+/g, '$1<port>')
      .replace(/127\.0\.0\.1:\d+/g, '127.0.0.1:<port>');
  const { client, upstream, secondUpstream, log } = outcome;
  return {
    ...outcome,
    client: clean(client),
    upstream: upstream.map(clean),
    secondUpstream: secondUpstream.map(clean),
    log: log.map(clean),
  };
}
