/** Checks by a plain connection: that it can be made or, with a payload to wait for, that the host sends it. */
import type { HealthCheckModel, TcpCheckModel } from '../../config/model/health-check.ts';
import type { Connection, ConnectionCallbacks } from '../../network/connection.ts';
import type { WorkerHost } from '../worker-host.ts';
import { connectForCheck, holdsSegments, type Probe, type ProbeCallbacks } from './probe.ts';

export class TcpProbe implements Probe, ConnectionCallbacks {
  readonly #host: WorkerHost;
  readonly #model: HealthCheckModel;
  readonly #check: TcpCheckModel;
  readonly #callbacks: ProbeCallbacks;
  #connection: Connection | null = null;
  #received = '';

  constructor(host: WorkerHost, model: HealthCheckModel, check: TcpCheckModel, callbacks: ProbeCallbacks) {
    this.#host = host;
    this.#model = model;
    this.#check = check;
    this.#callbacks = callbacks;
  }

  start(): void {
    if (this.#connection === null) {
      this.#received = '';
      this.#connection = connectForCheck(this.#host, this.#model, this);
    } else this.#send();
  }

  abandon(): void {
    this.stop();
  }

  stop(): void {
    const connection = this.#connection;
    this.#connection = null;
    connection?.close('no-flush');
  }

  #send(): void {
    if (this.#check.send !== '') this.#connection?.write(Buffer.from(this.#check.send, 'latin1'), false);
  }

  // ConnectionCallbacks

  onConnected(): void {
    if (this.#connection === null) return;
    if (this.#check.receive.length === 0) {
      this.stop();
      this.#callbacks.onSuccess(false);
      return;
    }
    this.#connection.setNoDelay(true);
    this.#send();
  }

  onData(data: Buffer): void {
    if (this.#connection === null) return;
    this.#received += data.toString('latin1');
    if (!holdsSegments(this.#received, this.#check.receive)) return;
    this.#received = '';
    if (!this.#model.reuseConnection) this.stop();
    this.#callbacks.onSuccess(false);
  }

  onClose(): void {
    if (this.#connection === null) return;
    this.#connection = null;
    this.#callbacks.onFailure('network', false);
  }
}
