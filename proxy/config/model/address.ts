/** Where a socket is bound or connected, as `envoy.config.core.v3.Address` after compilation. */
export type Address = SystemAddress | InternalAddress;

/** What the operating system binds and connects. */
export type SystemAddress = SocketAddress | PipeAddress;

export interface SocketAddress {
  readonly kind: 'socket';
  /** An IP in its canonical text form, or a host name in DNS clusters. */
  readonly address: string;
  readonly port: number;
}

export interface PipeAddress {
  readonly kind: 'pipe';
  readonly path: string;
}

/** An internal listener of this process: its connections never leave the worker. */
export interface InternalAddress {
  readonly kind: 'internal';
  readonly listener: string;
  /** Tells endpoints of one listener apart; may be empty. */
  readonly endpointId: string;
}

/** A CIDR range in canonical text form. */
export interface CidrRange {
  readonly address: string;
  readonly prefixLength: number;
}

/** `ip:port` with IPv6 in brackets, the path of a pipe, or `envoy://listener/id`: the form of Envoy's admin API and access log. */
export function formatAddress(address: Address): string {
  if (address.kind === 'pipe') return address.path;
  if (address.kind === 'internal') return `envoy://${address.listener}/${address.endpointId}`;
  return address.address.includes(':') ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`;
}

/** `address/length`. */
export function formatCidr(range: CidrRange): string {
  return `${range.address}/${range.prefixLength}`;
}
