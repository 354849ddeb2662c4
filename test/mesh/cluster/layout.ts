/** Where the mesh's binaries and state are, and the addresses it uses. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

function findCache(): string {
  if (process.env.MESH_CACHE) return process.env.MESH_CACHE;
  // A cache of the same tools under another name saves a build of 15 minutes; the versions are checked before use.
  const other = join(homedir(), '.cache/meshlab');
  return existsSync(join(other, 'bin/kubelet')) ? other : join(homedir(), '.cache/node-sidecar-mesh');
}

/** The folder of binaries and state; MESH_CACHE overrides it. */
export const cache = findCache();
export const bin = join(cache, 'bin');
export const state = join(cache, 'state');
/** The root file system that images are made from. */
export const base = join(cache, 'base');
export const kubeconfig = join(state, 'admin.kubeconfig');
export const containerdSocket = join(state, 'containerd.sock');
export const repository = join(import.meta.dirname, '../../..');

export const nodeName = 'lab';
export const bridge = 'labbr0';
export const nodeIp = '10.244.0.1';
export const podCidr = '10.244.0.0/24';
export const serviceCidr = '10.96.0.0/16';
export const dnsIp = '10.96.0.10';

/** Images in the node's containerd; there is no registry. */
export const images = {
  pause: 'localhost/pause:lab',
  pilot: 'localhost/pilot:lab',
  echo: 'localhost/echo:lab',
  /** The real pilot-agent with Envoy. */
  envoy: 'localhost/proxyv2:lab',
  /** The real pilot-agent with this project's proxy. */
  halfProxy: 'localhost/half-proxy:dev',
  /** This project's agent with Envoy. */
  halfAgent: 'localhost/half-agent:dev',
  /** This project's image; MESH_SIDECAR_IMAGE names another one to test. */
  sidecar: process.env.MESH_SIDECAR_IMAGE ?? 'localhost/sidecar:dev',
};
