/** Socket addresses of the bootstrap file. */
import { splitHostPort } from '../proxy-config-validation.ts';

export type SocketAddress = { readonly address: string; readonly port_value: number };

/**
 * Splits `host:port`; the host `$(HOST_IP)` stands for the node's address, for collectors that run on every node.
 * @throws if the text has no port.
 */
export function splitAddress(name: string, text: string, hostIp: string): SocketAddress {
  const parts = splitHostPort(text);
  if (parts === null) throw new Error(`unable to parse ${name} address ${JSON.stringify(text)}: missing port in address`);
  const host = parts.host === '$(HOST_IP)' && hostIp !== '' ? hostIp : parts.host;
  return { address: host, port_value: Number(parts.port) };
}
