/** PINGs that tell whether the peer is still there: Envoy's connection keepalive. */
import { Timer } from '../../../common/timer-wheel.ts';
import type { ConnectionKeepaliveModel } from '../../config/model/http2-protocol-options.ts';
import type { Connection } from '../../network/connection.ts';
import type { FrameWriter } from './frame-writer.ts';
import type { Http2Options } from './options.ts';

const pingBytes = Buffer.alloc(8);

export class Keepalive {
  readonly #connection: Connection;
  readonly #model: ConnectionKeepaliveModel;
  readonly #writer: FrameWriter;
  readonly #options: Http2Options;
  readonly #intervalTimer = new Timer(() => this.#sendPing());
  readonly #timeoutTimer = new Timer(() => this.#onTimeout());
  #lastReceivedMs: number;

  constructor(connection: Connection, model: ConnectionKeepaliveModel, writer: FrameWriter, options: Http2Options) {
    this.#connection = connection;
    this.#model = model;
    this.#writer = writer;
    this.#options = options;
    this.#lastReceivedMs = options.timers.now();
  }

  start(): void {
    const { intervalMs, intervalJitterPercent } = this.#model;
    if (intervalMs === 0) return;
    const jitterMs = (Math.random() * intervalMs * intervalJitterPercent) / 100;
    this.#options.timers.arm(this.#intervalTimer, intervalMs + jitterMs);
  }

  stop(): void {
    this.#options.timers.cancel(this.#intervalTimer);
    this.#options.timers.cancel(this.#timeoutTimer);
  }

  onReceived(): void {
    this.#lastReceivedMs = this.#options.timers.now();
  }

  /** A stream begins: after a long silence the connection is tested along with it. */
  onNewStream(): void {
    const { connectionIdleIntervalMs } = this.#model;
    if (connectionIdleIntervalMs === 0) return;
    if (this.#options.timers.now() - this.#lastReceivedMs > connectionIdleIntervalMs) this.#sendPing();
  }

  onAnswer(): void {
    if (!this.#timeoutTimer.armed) return;
    this.#options.timers.cancel(this.#timeoutTimer);
    this.start();
  }

  #sendPing(): void {
    // One answer is awaited at a time.
    if (this.#timeoutTimer.armed) return;
    pingBytes.writeDoubleBE(this.#options.timers.now());
    this.#writer.writePing(pingBytes, 0, false);
    this.#options.timers.arm(this.#timeoutTimer, this.#model.timeoutMs);
  }

  #onTimeout(): void {
    this.#options.stats.keepaliveTimeout.inc();
    this.#connection.close('no-flush', 'http2_ping_timeout');
  }
}
