/** Finds the reference Envoy: $ENVOY_BINARY, the mesh harness's cache, or PATH. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Absolute path, or null where no Envoy is installed (`npm run mesh -- tools` installs it). */
export function findEnvoy(): string | null {
  const candidates = [
    process.env.ENVOY_BINARY,
    process.env.MESH_CACHE && join(process.env.MESH_CACHE, 'bin', 'envoy'),
    join(homedir(), '.cache', 'node-sidecar-mesh', 'bin', 'envoy'),
    join(homedir(), '.cache', 'meshlab', 'bin', 'envoy'),
    ...(process.env.PATH ?? '').split(':').map(folder => join(folder, 'envoy')),
  ];
  return candidates.find(path => path !== undefined && path !== '' && existsSync(path) && isEnvoy(path)) ?? null;
}

function isEnvoy(path: string): boolean {
  try {
    return /version: [0-9a-f]+\/1\.\d+/.test(
      execFileSync(path, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
    );
  } catch {
    return false;
  }
}
