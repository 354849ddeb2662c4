/**
 * System calls that Node does not offer: the only native seam. Everything works on file descriptors; a failing call throws
 * with errno's name, except where null is the answer.
 *
 * Source: socket(7), ip(7), ipv6(7); netfilter's SO_ORIGINAL_DST.
 */
import { createRequire } from 'node:module';
import type { SocketAddress } from '../config/model/address.ts';
import type { SocketOptionModel } from '../config/model/socket-option.ts';
import type { TcpKeepaliveModel } from '../config/model/cluster.ts';
import type { OriginalSource } from './connection.ts';
import { describeSocketError } from './error-text.ts';
import { parseSocketAddress, writeSocketAddress } from './socket-address.ts';

const solSocket = 1;
const solIp = 0;
const solIpv6 = 41;
const solTcp = 6;
const soLinger = 13;

/** Level, number, and the name in messages. */
type SocketOption = readonly [level: number, option: number, label: string];

const socketOptions = {
  reuseAddress: [solSocket, 2, 'SOL_SOCKET/SO_REUSEADDR'],
  keepalive: [solSocket, 9, 'SOL_SOCKET/SO_KEEPALIVE'],
  mark: [solSocket, 36, 'SOL_SOCKET/SO_MARK'],
  bindAddressNoPort: [solIp, 24, 'IPPROTO_IP/IP_BIND_ADDRESS_NO_PORT'],
  ipv6Only: [solIpv6, 26, 'IPPROTO_IPV6/IPV6_V6ONLY'],
  keepaliveProbes: [solTcp, 6, 'IPPROTO_TCP/TCP_KEEPCNT'],
  keepaliveTime: [solTcp, 4, 'IPPROTO_TCP/TCP_KEEPIDLE'],
  keepaliveInterval: [solTcp, 5, 'IPPROTO_TCP/TCP_KEEPINTVL'],
} as const satisfies { [name: string]: SocketOption };
/** Those that each IP version has for itself. */
const transparentOption = {
  4: [solIp, 19, 'IPPROTO_IP/IP_TRANSPARENT'],
  6: [solIpv6, 75, 'IPPROTO_IPV6/IPV6_TRANSPARENT'],
} as const;
const freebindOption = { 4: [solIp, 15, 'IPPROTO_IP/IP_FREEBIND'], 6: [solIpv6, 78, 'IPPROTO_IPV6/IPV6_FREEBIND'] } as const;
const originalDestination = 80;
const afInet = 2;
const afInet6 = 10;
const sockStream = 1;
const sockNonblock = 0o4000;
const sockCloexec = 0o2000000;
const fDupfdCloexec = 1030;
const msgDontwait = 0x40;
const msgNosignal = 0x4000;

interface NativeCalls {
  getsockopt(fd: number, level: number, name: number, value: Uint8Array, length: Uint32Array): number;
  setsockopt(fd: number, level: number, name: number, value: Uint8Array, length: number): number;
  send(fd: number, from: Uint8Array, bytes: number, flags: number): number;
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Uint8Array, length: number): number;
  getsockname(fd: number, address: Uint8Array, length: Uint32Array): number;
  fcntl(fd: number, command: number, type: string, argument: number): number;
  close(fd: number): number;
  _exit(code: number): void;
  errno(): number;
  errnoName(code: number): string;
}

let native: NativeCalls | null = null;

/**
 * Loads the native calls. Throws an error that says what is missing: without them no listening socket can be shared by the
 * workers and no original destination can be read, so the proxy refuses to start.
 */
export function loadSocketOptions(): void {
  if (native !== null) return;
  try {
    const koffi = createRequire(import.meta.url)('koffi');
    const libc = koffi.load(null);
    const codes = new Map<number, string>(Object.entries(koffi.os.errno).map(([name, code]) => [code as number, name]));
    native = {
      getsockopt: libc.func('int getsockopt(int fd, int level, int name, void *value, uint32_t *length)'),
      setsockopt: libc.func('int setsockopt(int fd, int level, int name, const void *value, uint32_t length)'),
      send: libc.func('intptr_t send(int fd, const void *from, size_t bytes, int flags)'),
      socket: libc.func('int socket(int domain, int type, int protocol)'),
      getsockname: libc.func('int getsockname(int fd, void *address, uint32_t *length)'),
      bind: libc.func('int bind(int fd, const void *address, uint32_t length)'),
      fcntl: libc.func('int fcntl(int fd, int command, ...)'),
      close: libc.func('int close(int fd)'),
      _exit: libc.func('void _exit(int code)'),
      errno: () => koffi.errno(),
      errnoName: code => codes.get(code) ?? `errno ${code}`,
    };
  } catch (error) {
    throw new Error(
      `cannot load the native socket calls (package koffi for ${process.platform}-${process.arch}): ${String(error)}`,
    );
  }
}

function calls(): NativeCalls {
  if (native === null) loadSocketOptions();
  return native as NativeCalls;
}

const addressBytes = new Uint8Array(28);
const addressLength = new Uint32Array(1);

/**
 * Where a redirected connection was going to (SO_ORIGINAL_DST, IPv4 or IPv6); null if it was not redirected.
 * `localAddress` is the accepted socket's own address and selects the family.
 */
export function getOriginalDestination(fd: number, localAddress: string): SocketAddress | null {
  const v6 = localAddress.includes(':') && !localAddress.startsWith('::ffff:');
  addressLength[0] = addressBytes.length;
  const result = calls().getsockopt(fd, v6 ? solIpv6 : solIp, originalDestination, addressBytes, addressLength);
  return result === 0 ? parseSocketAddress(addressBytes) : null;
}

/** Another descriptor of the same socket, closed on exec. */
export function duplicateDescriptor(fd: number): number {
  const copy = calls().fcntl(fd, fDupfdCloexec, 'int', 0);
  if (copy < 0) throw nativeError('fcntl(F_DUPFD_CLOEXEC)');
  return copy;
}

export function closeDescriptor(fd: number): void {
  calls().close(fd);
}

/**
 * Ends the process now, after its 'exit' listeners. `process.exit` joins the workers first, and a worker whose sockets have
 * unfinished writes never comes back from Node's clean-up (it spins in Environment::CleanupHandles).
 */
export function exitProcess(code: number): never {
  process.emit('exit', code);
  try {
    calls()._exit(code);
  } catch {
    // Without the native calls there are no workers to wait for.
  }
  process.exit(code);
}

/** How many bytes the kernel took now; negative: none, for whatever reason. */
export function sendBytes(fd: number, from: Uint8Array, bytes: number): number {
  return calls().send(fd, from, bytes, msgNosignal | msgDontwait);
}

/** Makes closing the descriptor send a RST at once, whatever waits to be sent (SO_LINGER with no time). */
export function setResetOnClose(fd: number): void {
  calls().setsockopt(fd, solSocket, soLinger, new Uint8Array(new Int32Array([1, 0]).buffer), 8);
}

/** An option that the kernel refuses. `code` is errno's name; EPERM means that a capability is missing. */
export class SocketOptionError extends Error {
  readonly code: string;

  constructor(option: string, code: string) {
    const reason = describeSocketError({ code, message: code });
    super(`Setting ${option} option on socket failed: ${reason}${code === 'EPERM' ? ' (needs CAP_NET_ADMIN)' : ''}`);
    this.code = code;
  }
}

/** Options of a socket before it is bound. */
export interface SocketSetup {
  /** Accept or send for addresses that are not ours (IP_TRANSPARENT; needs CAP_NET_ADMIN). */
  readonly transparent?: boolean;
  /** Bind to an address that does not exist yet. */
  readonly freebind?: boolean;
  /** SO_MARK; needs CAP_NET_ADMIN. */
  readonly mark?: number;
  /** Choose the port at connect, so that one source address serves more than 28,000 destinations' connections. */
  readonly bindAddressNoPort?: boolean;
  readonly reuseAddress?: boolean;
  readonly ipv6Only?: boolean;
  /** Probes of an idle connection; a value that is null is the kernel's. */
  readonly keepalive?: TcpKeepaliveModel | null;
  readonly options?: readonly SocketOptionModel[];
}

/** How a socket speaks for a client's address: replies come back to it because routing knows the mark. */
export function createOriginalSourceSetup({ mark }: OriginalSource): Pick<SocketSetup, 'transparent' | 'mark'> {
  return mark === 0 ? { transparent: true } : { transparent: true, mark };
}

/** A TCP socket with its options set, bound if `address` is given. The caller owns the descriptor. */
export function createSocket(family: 4 | 6, setup: SocketSetup, address: SocketAddress | null): number {
  const fd = calls().socket(family === 6 ? afInet6 : afInet, sockStream | sockNonblock | sockCloexec, 0);
  if (fd < 0) throw nativeError('socket');
  try {
    applySetup(fd, family, setup);
    if (address !== null) {
      const bytes = new Uint8Array(28);
      const length = writeSocketAddress(bytes, address);
      if (calls().bind(fd, bytes, length) !== 0) throw nativeError(`bind ${address.address}:${address.port}`);
    }
  } catch (error) {
    calls().close(fd);
    throw error;
  }
  return fd;
}

function applySetup(fd: number, family: 4 | 6, setup: SocketSetup): void {
  const { reuseAddress, mark, bindAddressNoPort, ipv6Only } = socketOptions;
  if (setup.reuseAddress) setOption(fd, reuseAddress, 1);
  if (setup.mark !== undefined) setOption(fd, mark, setup.mark);
  if (setup.bindAddressNoPort) setOption(fd, bindAddressNoPort, 1);
  if (setup.transparent) setOption(fd, transparentOption[family], 1);
  if (setup.freebind) setOption(fd, freebindOption[family], 1);
  if (family === 6 && setup.ipv6Only !== undefined) setOption(fd, ipv6Only, setup.ipv6Only ? 1 : 0);
  if (setup.keepalive) enableKeepalive(fd, setup.keepalive);
  if (setup.options !== undefined) setSocketOptions(fd, setup.options);
}

/** Throws SocketOptionError for the first that the kernel refuses. */
export function setSocketOptions(fd: number, options: readonly SocketOptionModel[]): void {
  for (const { level, name, value } of options) {
    const bytes = typeof value === 'string' ? Buffer.from(value, 'base64') : new Uint8Array(new Int32Array([value]).buffer);
    setBytes(fd, [level, name, `${level}/${name}`], bytes);
  }
}

/** The address that a socket is bound to; null if it is neither IPv4 nor IPv6. */
export function readBoundAddress(fd: number): SocketAddress | null {
  addressLength[0] = addressBytes.length;
  return calls().getsockname(fd, addressBytes, addressLength) === 0 ? parseSocketAddress(addressBytes) : null;
}

/** Node's own call would set what is null too, to values that are not the kernel's. */
function enableKeepalive(fd: number, { probes, timeSeconds, intervalSeconds }: TcpKeepaliveModel): void {
  setOption(fd, socketOptions.keepalive, 1);
  if (probes !== null) setOption(fd, socketOptions.keepaliveProbes, probes);
  if (timeSeconds !== null) setOption(fd, socketOptions.keepaliveTime, timeSeconds);
  if (intervalSeconds !== null) setOption(fd, socketOptions.keepaliveInterval, intervalSeconds);
}

function setOption(fd: number, option: SocketOption, value: number): void {
  setBytes(fd, option, new Uint8Array(new Int32Array([value]).buffer));
}

function setBytes(fd: number, [level, option, label]: SocketOption, bytes: Uint8Array): void {
  if (calls().setsockopt(fd, level, option, bytes, bytes.length) !== 0)
    throw new SocketOptionError(label, calls().errnoName(calls().errno()));
}

function nativeError(call: string): Error {
  const code = calls().errno();
  const name = calls().errnoName(code);
  return Object.assign(new Error(`${call}: ${name}`), { code: name });
}
