/** Listening sockets of the main thread: bound once per address, shared with the workers by duplicated descriptors. */
import { rmSync } from 'node:fs';
import net from 'node:net';
import { formatAddress, type SystemAddress } from '../config/model/address.ts';
import type { SocketOptionModel } from '../config/model/socket-option.ts';
import { describeSocketError } from '../network/error-text.ts';
import {
  closeDescriptor,
  createSocket,
  duplicateDescriptor,
  readBoundAddress,
  setSocketOptions,
  SocketOptionError,
} from '../network/socket-options.ts';

export interface ListeningSocketOptions {
  readonly transparent: boolean;
  readonly freebind: boolean;
  readonly socketOptions?: readonly SocketOptionModel[];
}

/** Bound, not listening: the first worker that listens on a duplicate opens the door. */
export class ListeningSocket {
  /** With the port the kernel chose, if 0 was asked for. */
  readonly address: SystemAddress;
  readonly #bound: net.BoundSocket | null;
  readonly #fd: number;

  /** Throws an error that names the address, in Envoy's words. */
  constructor(address: SystemAddress, { transparent, freebind, socketOptions = [] }: ListeningSocketOptions) {
    const early = socketOptions.filter(({ state }) => state === 'prebind');
    try {
      if (address.kind === 'pipe') {
        if (!address.path.startsWith('@')) rmSync(address.path, { force: true });
        this.#bound = new net.BoundSocket({ path: address.path.replace(/^@/, '\0') } as net.BoundSocketOptions);
        this.#fd = this.#bound.fd();
        this.address = address;
      } else if (transparent || freebind || early.length > 0) {
        const family = address.address.includes(':') ? 6 : 4;
        this.#bound = null;
        const setup = { transparent, freebind, options: early, reuseAddress: true, ipv6Only: family === 6 };
        this.#fd = createSocket(family, setup, address);
        this.address = readBoundAddress(this.#fd) ?? address;
      } else {
        const isIpv6 = address.address.includes(':');
        this.#bound = new net.BoundSocket({ host: address.address, port: address.port, ...(isIpv6 ? { ipv6Only: true } : {}) });
        this.#fd = this.#bound.fd();
        this.address = { ...address, port: (this.#bound.address() as net.AddressInfo).port };
      }
      // Those of a listening socket too: the kernel takes them before, and the workers listen by themselves.
      const late = socketOptions.filter(({ state }) => state !== 'prebind');
      setSocketOptions(this.#fd, late);
    } catch (error) {
      if (error instanceof SocketOptionError) throw new Error(`ListenSocket: ${error.message}`);
      throw new Error(`cannot bind '${formatAddress(address)}': ${describeSocketError(error as Error & { code?: string })}`);
    }
  }

  /** A descriptor for one worker, which owns it. */
  duplicate(): number {
    return duplicateDescriptor(this.#fd);
  }

  close(): void {
    if (this.#bound !== null) this.#bound.close();
    else closeDescriptor(this.#fd);
  }
}
