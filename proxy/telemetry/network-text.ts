/** Networks as text. */
import { isIPv6 } from 'node:net';

/** `10.1.2.3` and 16 bits make `10.1.0.0/16`. Bits beyond the address's length are those it has. */
export function maskAddress(address: string, bits: number): string {
  return isIPv6(address) ? maskIPv6(address, Math.min(bits, 128)) : maskIPv4(address, Math.min(bits, 32));
}

function maskIPv4(address: string, bits: number): string {
  const bytes = address.split('.').map((byte, i) => Number(byte) & byteMask(bits - i * 8, 8));
  return `${bytes.join('.')}/${bits}`;
}

function maskIPv6(address: string, bits: number): string {
  const [head, tail] = address.split('::').map(part => part.split(':').filter(Boolean));
  const zeros = tail === undefined ? [] : Array.from({ length: 8 - head.length - tail.length }, () => '0');
  const groups = [...head, ...zeros, ...(tail ?? [])].map(group => Number.parseInt(group, 16));
  const masked = groups.map((group, i) => (group & byteMask(bits - i * 16, 16)).toString(16)).join(':');
  return `${new URL(`http://[${masked}]`).hostname.slice(1, -1)}/${bits}`;
}

/** `size` bits of which the first `ones` are set. */
function byteMask(ones: number, size: number): number {
  const all = 2 ** size - 1;
  return ones >= size ? all : ones <= 0 ? 0 : all & ~(2 ** (size - ones) - 1);
}
