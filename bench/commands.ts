/**
 * `node bench/commands.ts [ROOT]`: how long the agent's short commands take, which hooks start again and again, beside bare Node and, where it is
 * there, the real pilot-agent. Runs take turns, so that what else the machine does falls on all of them; medians of wall time.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

const rounds = 20;
const root = resolve(process.argv[2] ?? join(import.meta.dirname, '..'));
const agent = join(root, 'bin/pilot-agent');
const original = join(homedir(), '.cache/meshlab/bin/pilot-agent');

async function measureMs(command: string, ...args: readonly string[]): Promise<number> {
  const startMs = performance.now();
  const child = spawn(command, args, { stdio: 'ignore' });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}`);
  return performance.now() - startMs;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

/** A port that `request` may ask; the proxy's, where none runs. */
const debugPort = 15000;
const server = createServer((_request, response) => response.end('OK')).listen(debugPort, '127.0.0.1');
await once(server, 'listening');
const { port } = server.address() as AddressInfo;

const commands: Record<string, readonly [string, ...string[]]> = {
  'bare Node': [process.execPath, '-e', '0'],
  request: [agent, 'request', 'GET', 'stats'],
  wait: [agent, 'wait', `--url=http://localhost:${port}/`, '--periodMillis=1'],
  version: [agent, 'version'],
  ...(existsSync(original) ? { 'pilot-agent request': [original, 'request', 'GET', 'stats'] } : {}),
};
const samples = Object.fromEntries(Object.keys(commands).map(name => [name, [] as number[]]));
for (let round = 0; round < rounds; round++) {
  for (const [name, command] of Object.entries(commands)) samples[name].push(await measureMs(...command));
}
server.close();
const bareMs = median(samples['bare Node']);
for (const [name, values] of Object.entries(samples)) {
  const ms = median(values);
  console.log(`${name.padEnd(20)} ${ms.toFixed(0).padStart(4)} ms   ${(ms / bareMs).toFixed(2)} of bare Node`);
}
