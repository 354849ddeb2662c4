/**
 * Captured pushes of a real istiod (1.31), byte for byte: the first delta response of each type for a client and a server,
 * with a default installation and with one of most of the networking and security resources; and the bootstrap files of the
 * real agent. What istiod's generators make of two more proxies: one of an ambient mesh (`hbone`), and one whose Sidecar resource
 * has listeners of every shape with ports and sockets of their own (`shapes`).
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeMessage } from '../../protos/messages.ts';

const here = import.meta.dirname;

export const pods = ['default-client', 'default-server', 'rich-client', 'rich-server', 'hbone', 'shapes'] as const;
export const kinds = ['cds', 'eds', 'lds', 'rds'] as const;
export type Pod = (typeof pods)[number];
export type Kind = (typeof kinds)[number];

export interface PushedResource {
  readonly name: string;
  readonly bytes: Uint8Array;
}

export function readPush(pod: Pod, kind: Kind): readonly PushedResource[] {
  const bytes = readFileSync(join(here, 'wire', pod, `${kind}.bin`));
  const response = decodeMessage('envoy.service.discovery.v3.DeltaDiscoveryResponse', bytes);
  return response.resources.map(({ name, resource }) => ({ name, bytes: resource!.value }));
}

export function bootstrapPath(role: 'client' | 'server'): string {
  return join(here, 'bootstrap', `${role}.json`);
}
