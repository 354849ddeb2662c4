/** The facts of one connection while they are being found out: what filters read as ConnectionInfo. */
import type { Address } from '../config/model/address.ts';
import type { Metadata } from '../config/model/matchers.ts';
import type { ConnectionInfo, OriginalSource, TlsInfo } from './connection.ts';
import type { PassthroughState } from './passthrough-state.ts';

/** Connection ids of one worker start at its index times this, so that they are unique in the process. */
const idsPerWorker = 2 ** 40;
let nextId = 1;

/** Gives this thread its own range of connection ids. */
export function setConnectionIdRange(workerIndex: number): void {
  nextId = workerIndex * idsPerWorker + 1;
}

export const unknownAddress: Address = { kind: 'socket', address: '0.0.0.0', port: 0 };
const noProtocols: readonly string[] = [];

export class ConnectionRecord implements ConnectionInfo {
  readonly id = nextId++;
  localAddress: Address;
  directLocalAddress: Address;
  localAddressRestored = false;
  remoteAddress: Address;
  directRemoteAddress: Address;
  originalSource: OriginalSource | null = null;
  requestedServerName = '';
  requestedApplicationProtocols = noProtocols;
  transportProtocol = '';
  tls: TlsInfo | null = null;
  readonly startTimeMs = Date.now();
  transportFailureReason = '';
  listenerName = '';
  filterChainName = '';
  listenerMetadata: Metadata | null = null;
  filterChainMetadata: Metadata | null = null;
  /** What came with a connection of an internal listener; null elsewhere. */
  passthrough: PassthroughState | null = null;

  constructor(localAddress: Address, remoteAddress: Address) {
    this.localAddress = localAddress;
    this.directLocalAddress = localAddress;
    this.remoteAddress = remoteAddress;
    this.directRemoteAddress = remoteAddress;
  }

  /** Replaces the local address by what the peer wanted to reach. */
  restoreLocalAddress(address: Address): void {
    this.localAddress = address;
    this.localAddressRestored = true;
  }
}
