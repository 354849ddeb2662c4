/** The main thread's listeners: owns their sockets, tells the workers what to serve and where to accept. */
import { type Timer, TimerWheel } from '../../common/timer-wheel.ts';
import { type Address, formatAddress } from '../config/model/address.ts';
import type { ListenerModel } from '../config/model/listener.ts';
import type { MainToWorker } from '../workers/messages.ts';
import type { DeclaredListenerStats } from './declared-stats.ts';
import { ListeningSocket } from './listening-socket.ts';

export interface ListenerManagerOptions {
  readonly workerCount: number;
  readonly post: (worker: number, message: MainToWorker) => void;
  readonly broadcast: (message: MainToWorker) => void;
  readonly drainTimeMs: number;
  readonly stats?: DeclaredListenerStats;
}

export interface DrainOptions {
  readonly inboundOnly: boolean;
  /** Go on accepting while connections are asked to end, until the drain time is over. */
  readonly graceful: boolean;
}

/** A listener as the admin API shows it. */
export interface ListenerStatus {
  readonly model: ListenerModel;
  /** Bound addresses, or the configured ones of listeners without a socket. */
  readonly addresses: readonly Address[];
}

interface Entry {
  model: ListenerModel;
  /** One per address; empty without bind_to_port. */
  sockets: ListeningSocket[];
  accepting: boolean;
}

export class ListenerManager {
  readonly #options: ListenerManagerOptions;
  readonly #entries = new Map<string, Entry>();
  /** The listener that has an address. */
  readonly #owners = new Map<string, string>();
  #active = false;
  #drainTimer: Timer | null = null;
  readonly #timers = new TimerWheel();

  constructor(options: ListenerManagerOptions) {
    this.#options = options;
  }

  /**
   * Adds or replaces a listener. Its socket stays as it is while the addresses do. Throws, and changes nothing, if an address
   * cannot be bound or belongs to another listener.
   */
  update(model: ListenerModel): void {
    const entry = this.#entries.get(model.name);
    this.#checkAddresses(model);
    const keeps = entry !== undefined && socketKey(entry.model) === socketKey(model);
    const sockets = keeps ? entry.sockets : bind(model);
    const text = JSON.stringify(model);
    if (!keeps && entry !== undefined) this.#close(model.name, entry);
    for (const address of entry === undefined ? [] : ownedAddresses(entry.model)) this.#owners.delete(address);
    for (const address of ownedAddresses(model)) this.#owners.set(address, model.name);
    const next: Entry = { model, sockets, accepting: keeps && entry.accepting };
    this.#entries.set(model.name, next);
    this.#options.broadcast({ type: 'listener', name: model.name, model: text });
    this.#options.stats?.update(model);
    if (this.#active) this.#accept(next);
  }

  remove(name: string): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    this.#entries.delete(name);
    for (const address of ownedAddresses(entry.model)) this.#owners.delete(address);
    this.#close(name, entry);
    this.#options.broadcast({ type: 'listener-removed', name });
    this.#options.stats?.remove(name);
  }

  /** Lets the workers accept, on all listeners and those that come later. */
  startWorkers(): void {
    this.#active = true;
    for (const entry of this.#entries.values()) this.#accept(entry);
  }

  #accept(entry: Entry): void {
    if (entry.accepting) return;
    entry.accepting = true;
    for (const [addressIndex, socket] of entry.sockets.entries()) {
      for (let worker = 0; worker < this.#options.workerCount; worker++) {
        this.#options.post(worker, { type: 'listen', listener: entry.model.name, fd: socket.duplicate(), addressIndex });
      }
    }
  }

  #close(name: string, entry: Entry): void {
    if (entry.accepting) this.#options.broadcast({ type: 'stop-listening', listener: name });
    for (const socket of entry.sockets) socket.close();
    entry.sockets = [];
    entry.accepting = false;
  }

  /**
   * Envoy's `/drain_listeners`: stops accepting, at once or (graceful) when the drain time is over, and asks connections to
   * end. Listeners stay in the configuration.
   */
  drain({ inboundOnly, graceful }: DrainOptions): void {
    const { drainTimeMs } = this.#options;
    this.#options.broadcast({ type: 'drain', inboundOnly, graceful, drainTimeMs });
    if (!graceful) {
      this.#stopAccepting(inboundOnly);
      return;
    }
    this.#drainTimer ??= this.#timers.schedule(drainTimeMs, () => this.#stopAccepting(inboundOnly));
  }

  #stopAccepting(inboundOnly: boolean): void {
    for (const [name, entry] of this.#entries) {
      if (!inboundOnly || entry.model.trafficDirection === 'inbound') this.#close(name, entry);
    }
  }

  /** Stops accepting everywhere. */
  shutdown(): void {
    if (this.#drainTimer !== null) this.#timers.cancel(this.#drainTimer);
    this.#stopAccepting(false);
  }

  /** In order of first appearance. */
  list(): ListenerStatus[] {
    return [...this.#entries.values()].map(({ model, sockets }) => ({
      model,
      addresses: sockets.length > 0 ? sockets.map(socket => socket.address) : model.addresses,
    }));
  }

  #checkAddresses(model: ListenerModel): void {
    const duplicate = ownedAddresses(model).find(address => (this.#owners.get(address) ?? model.name) !== model.name);
    if (duplicate === undefined) return;
    throw new Error(
      `error adding listener: '${model.name}' has duplicate address '${duplicate}' as existing listener, to check if the listener has duplicated addresses in other listeners or 'enable_reuse_port' is set to 'false' in one of listeners`,
    );
  }
}

/** Those that no other listener can have: any number of them take a port that is free. */
function ownedAddresses({ addresses }: ListenerModel): string[] {
  return addresses.filter(address => address.kind !== 'socket' || address.port !== 0).map(formatAddress);
}

/** What decides whether a socket can stay. */
function socketKey(model: ListenerModel): string {
  return JSON.stringify([model.addresses, model.bindToPort, model.transparent, model.freebind]);
}

function bind(model: ListenerModel): ListeningSocket[] {
  if (!model.bindToPort) return [];
  const sockets: ListeningSocket[] = [];
  try {
    for (const address of model.addresses) {
      if (address.kind !== 'internal') sockets.push(new ListeningSocket(address, model));
    }
  } catch (error) {
    for (const socket of sockets) socket.close();
    throw error;
  }
  return sockets;
}
