/** By h2load: full TLS handshakes, for each client has a session of its own, and gRPC calls. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LoadResult, LoadTarget } from './load.ts';
import { runOnLoadCore } from './load-command.ts';

/** Clients of one h2load: enough to amortize its start, few enough for a listen backlog. */
const handshakesPerRun = 200;

export async function runHandshakes({ port, seconds }: LoadTarget): Promise<LoadResult> {
  const began = performance.now();
  const count = String(handshakesPerRun);
  let requests = 0;
  let errors = 0;
  do {
    const output = await runOnLoadCore(['h2load', '--h1', '-n', count, '-c', count, `https://127.0.0.1:${port}/`]);
    const succeeded = Number(/(\d+) succeeded/.exec(output)?.[1] ?? 0);
    requests += succeeded;
    errors += handshakesPerRun - succeeded;
  } while (performance.now() - began < seconds * 1000);
  const untold = Number.NaN;
  return { requests, errors, seconds: (performance.now() - began) / 1000, p50Ms: untold, p90Ms: untold, p99Ms: untold };
}

/** Calls under way on each connection. */
const callsPerConnection = 8;
const payloadBytes = 64;

/** fortio's `PingMessage` with a payload, in gRPC's frame. */
export function encodePing(): Buffer {
  const message = Buffer.concat([Buffer.from([0x08, 1, 0x1a, payloadBytes]), Buffer.alloc(payloadBytes, 'x')]);
  const frame = Buffer.alloc(5);
  frame.writeUInt32BE(message.length, 1);
  return Buffer.concat([frame, message]);
}

/** Unary calls of fortio's ping service. h2load judges the status only: `checkGrpc` sees to the rest. */
export async function runGrpcLoad({ port, connections, seconds, folder }: LoadTarget): Promise<LoadResult> {
  const body = join(folder, 'ping.bin');
  const log = join(folder, 'h2load.log');
  writeFileSync(body, encodePing());
  rmSync(log, { force: true });
  const size = ['-c', String(connections), '-m', String(callsPerConnection), '-D', String(seconds)];
  const headers = ['-H', 'content-type: application/grpc', '-H', 'te: trailers'];
  const url = `http://127.0.0.1:${port}/fgrpc.PingServer/Ping`;
  const output = await runOnLoadCore(['h2load', ...size, '-d', body, ...headers, `--log-file=${log}`, url]);
  const number = (pattern: RegExp) => Number(pattern.exec(output)?.[1] ?? 0);
  const requests = number(/(\d+) succeeded/);
  return {
    requests,
    errors: number(/requests: \d+ total, \d+ started, (\d+) done/) - requests,
    seconds,
    ...readPercentiles(readFileSync(log, 'latin1')),
  };
}

/** Lines of start, status and microseconds. */
export function readPercentiles(log: string): Pick<LoadResult, 'p50Ms' | 'p90Ms' | 'p99Ms'> {
  const lines = log.trimEnd().split('\n');
  const times = Float64Array.from(lines, line => Number(line.slice(line.lastIndexOf('\t') + 1)) / 1000).sort();
  const percentile = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? Number.NaN;
  return { p50Ms: percentile(0.5), p90Ms: percentile(0.9), p99Ms: percentile(0.99) };
}
