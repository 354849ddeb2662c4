/** gRPC calls by fortio. */
import { findTool } from '../environment.ts';
import type { LoadResult, LoadTarget } from './load.ts';
import { runOnLoadCore } from './load-command.ts';

interface Report {
  /** Nanoseconds. */
  readonly ActualDuration: number;
  readonly RetCodes: { readonly [code: string]: number };
  /** Seconds. */
  readonly DurationHistogram: { readonly Count: number; readonly Percentiles: readonly { Percentile: number; Value: number }[] };
}

const checkedCalls = 20;

async function runPings(port: number, options: readonly string[]): Promise<Report> {
  const args = ['-grpc', '-ping', ...options, '-p', '50,90,99', '-r', '0.0001', '-json', '-', '-loglevel', 'Error'];
  const output = await runOnLoadCore([findTool('fortio'), 'load', ...args, `127.0.0.1:${port}`]);
  return JSON.parse(output.slice(output.indexOf('{'))) as Report;
}

/** @throws unless calls of the ping service succeed, status and trailers included. */
export async function checkGrpc(port: number): Promise<void> {
  const { RetCodes: codes } = await runPings(port, ['-c', '1', '-n', String(checkedCalls), '-qps', '0']);
  if (codes.SERVING !== checkedCalls) throw new Error(`bench: gRPC calls ended with ${JSON.stringify(codes)}`);
}

/** Calls at a fixed rate, spread evenly over the connections; a late one delays those behind it on its connection. */
export async function runGrpcAtRate({ port, connections, seconds }: LoadTarget, rate: number): Promise<LoadResult> {
  const size = ['-c', String(connections), '-t', `${seconds}s`, '-qps', String(rate), '-uniform'];
  const { RetCodes: codes, DurationHistogram: histogram, ActualDuration: nanoseconds } = await runPings(port, size);
  const percentile = (percent: number) => {
    const found = histogram.Percentiles.find(({ Percentile }) => Percentile === percent);
    return found === undefined ? Number.NaN : found.Value * 1000;
  };
  return {
    requests: codes.SERVING ?? 0,
    errors: histogram.Count - (codes.SERVING ?? 0),
    seconds: nanoseconds / 1e9,
    p50Ms: percentile(50),
    p90Ms: percentile(90),
    p99Ms: percentile(99),
  };
}
