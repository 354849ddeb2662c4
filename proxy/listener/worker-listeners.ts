/** The listeners of one worker: accepts on its descriptors, shares accepted sockets with less loaded workers, finds listeners. */
import type net from 'node:net';
import { Logger } from '../../common/log.ts';
import { parseText, type SharedText } from '../../common/shared-text.ts';
import { type Address, formatAddress } from '../config/model/address.ts';
import type { ListenerModel } from '../config/model/listener.ts';
import { ConnectionRecord } from '../network/connection-record.ts';
import type { InternalConnection } from '../network/internal-connection.ts';
import { SocketConnection } from '../network/socket-connection.ts';
import { createTransferableSocket, listenOn, type SocketHandle, takeHandle } from '../network/socket-handle.ts';
import { AcceptedSocket } from './accepted-socket.ts';
import type { ListenerServices } from './filter-chain-runtime.ts';
import { ListenerRuntime } from './listener-runtime.ts';

const log = new Logger('conn_handler');
/** Above this many connections per worker chance balances well enough; a hand-over costs 35 us. */
const balancedConnections = 64;

/** Sends an accepted socket to another worker. */
export type HandOver = (listener: string, socket: net.Socket, worker: number) => void;

interface Entry {
  runtime: ListenerRuntime;
  readonly servers: net.Server[];
}

export class WorkerListeners {
  readonly #shared: ListenerServices;
  readonly #handOver: HandOver;
  readonly #entries = new Map<string, Entry>();
  /** `ip:port` to listener; null until a connection asks, as a push changes many listeners at once. */
  #byAddress: Map<string, ListenerRuntime> | null = null;

  constructor(shared: ListenerServices, handOver: HandOver) {
    this.#shared = shared;
    this.#handOver = handOver;
  }

  /** `text` is JSON of a ListenerModel. */
  update(name: string, text: string | SharedText): void {
    const model = parseText<ListenerModel>(text);
    const entry = this.#entries.get(name);
    if (entry === undefined) this.#entries.set(name, { runtime: new ListenerRuntime(model, this.#shared), servers: [] });
    else if (entry.runtime.model.hash !== model.hash) this.#replace(entry, model);
    this.#byAddress = null;
  }

  /** A listener with other addresses has other counters; what it served so far drains. */
  #replace(entry: Entry, model: ListenerModel): void {
    const before = JSON.stringify([entry.runtime.model.statPrefix, entry.runtime.model.addresses]);
    if (before === JSON.stringify([model.statPrefix, model.addresses])) {
      entry.runtime.update(model);
      return;
    }
    entry.runtime.drain();
    entry.runtime = new ListenerRuntime(model, this.#shared);
  }

  remove(name: string): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    this.stopListening(name);
    entry.runtime.drain();
    this.#entries.delete(name);
    this.#byAddress = null;
  }

  #indexAddresses(): Map<string, ListenerRuntime> {
    const byAddress = new Map<string, ListenerRuntime>();
    for (const { runtime } of this.#entries.values()) {
      for (const address of runtime.model.addresses) {
        const key = formatAddress(address);
        if (!byAddress.has(key)) byAddress.set(key, runtime);
      }
    }
    return byAddress;
  }

  /** Accepts on a descriptor, which is owned from here on. */
  listen(name: string, fd: number): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    const fail = (error: Error): void => log.error(`listener ${name}: ${error.message}`);
    const backlog = entry.runtime.model.tcpBacklogSize;
    entry.servers.push(listenOn(fd, backlog, handle => this.#onAccept(entry, handle), fail));
  }

  stopListening(name: string): void {
    const entry = this.#entries.get(name);
    for (const server of entry?.servers.splice(0) ?? []) server.close();
  }

  #onAccept(entry: Entry, handle: SocketHandle): void {
    const { runtime } = entry;
    runtime.stats.acceptedPerEvent.record(1);
    const counts = this.#shared.connectionCounts;
    const own = this.#shared.services.workerIndex;
    if (!runtime.model.ignoreGlobalConnectionLimit && this.#shared.globalConnectionLimit > 0) {
      let open = 0;
      for (const count of counts) open += count;
      if (open >= this.#shared.globalConnectionLimit) {
        runtime.stats.globalCxOverflow.inc();
        handle.close();
        return;
      }
    }
    if (counts.length > 1 && (counts[own] < balancedConnections || runtime.model.exactBalance)) {
      const target = leastLoaded(counts, own);
      if (target !== own) {
        // The receiver's count is raised here, so that a burst does not go to one worker.
        Atomics.add(counts, target, 1);
        this.#handOver(runtime.name, createTransferableSocket(handle), target);
        return;
      }
    }
    Atomics.add(counts, own, 1);
    this.#begin(runtime, handle);
  }

  has(name: string): boolean {
    return this.#entries.has(name);
  }

  /** A socket that another worker accepted; it is counted here already. */
  adopt(name: string, socket: net.Socket): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) {
      Atomics.sub(this.#shared.connectionCounts, this.#shared.services.workerIndex, 1);
      socket.destroy();
      return;
    }
    this.#begin(entry.runtime, takeHandle(socket));
  }

  #begin(listener: ListenerRuntime, handle: SocketHandle): void {
    const [address] = listener.model.addresses;
    // The peer of a Unix socket has no name: as with Envoy it goes by that of the socket.
    const record = new ConnectionRecord(address, address);
    const connection = new SocketConnection(record, this.#shared.services.timers, 'open');
    connection.adoptHandle(handle);
    if (address.kind === 'socket' && !recordAddresses(connection)) {
      // The peer is gone again.
      this.#release();
      connection.close('no-flush');
      return;
    }
    const lookup = (info: ConnectionRecord): ListenerRuntime | null => this.findByAddress(info.localAddress);
    new AcceptedSocket(connection, listener, lookup, this.#shared, () => this.#release()).start();
  }

  /** A connection that begins and ends in this worker; false if there is no such internal listener. */
  acceptInternal(name: string, connection: InternalConnection): boolean {
    const listener = this.#entries.get(name)?.runtime;
    if (listener === undefined || listener.model.addresses[0].kind !== 'internal') return false;
    new AcceptedSocket(
      connection,
      listener,
      () => null,
      this.#shared,
      () => {},
    ).start();
    return true;
  }

  #release(): void {
    Atomics.sub(this.#shared.connectionCounts, this.#shared.services.workerIndex, 1);
  }

  /** The listener of exactly this address, else of its port on the wildcard address. */
  findByAddress(address: Address): ListenerRuntime | null {
    this.#byAddress ??= this.#indexAddresses();
    const byAddress = this.#byAddress;
    const exact = byAddress.get(formatAddress(address));
    if (exact !== undefined || address.kind !== 'socket') return exact ?? null;
    if (address.address.includes(':')) return byAddress.get(`[::]:${address.port}`) ?? null;
    return byAddress.get(`0.0.0.0:${address.port}`) ?? byAddress.get(`[::]:${address.port}`) ?? null;
  }
}

/** The worker with the fewest connections if it has fewer than this one, else this one. */
function leastLoaded(counts: Int32Array, own: number): number {
  let best = own;
  for (let i = 0; i < counts.length; i++) if (counts[i] < counts[best]) best = i;
  return best;
}

/** Fills in both ends; false if the socket has none any more. */
function recordAddresses(connection: SocketConnection): boolean {
  const { socket, info } = connection;
  const { localAddress, remoteAddress } = socket;
  if (localAddress === undefined || remoteAddress === undefined) return false;
  info.localAddress = { kind: 'socket', address: plainIp(localAddress), port: socket.localPort as number };
  info.directLocalAddress = info.localAddress;
  info.remoteAddress = { kind: 'socket', address: plainIp(remoteAddress), port: socket.remotePort as number };
  info.directRemoteAddress = info.remoteAddress;
  return true;
}

/** An IPv4 peer of an IPv6 socket is an IPv4 peer. */
function plainIp(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}
