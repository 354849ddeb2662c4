/** Load on a local port: which program makes it, and what it tells. */
import type { BenchCase } from '../cases.ts';
import { runGrpcAtRate } from './fortio.ts';
import { runGrpcLoad, runHandshakes } from './h2load.ts';
import { runWebSocket } from './k6.ts';
import { runVegeta } from './vegeta.ts';
import { runWrk } from './wrk.ts';

export interface LoadResult {
  readonly requests: number;
  readonly errors: number;
  readonly seconds: number;
  /** NaN where the tool does not tell. */
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
}

export interface LoadTarget {
  readonly port: number;
  /** Keep-alive connections. */
  readonly connections: number;
  readonly seconds: number;
  /** For files of the load. */
  readonly folder: string;
}

/** Closed-loop load: as much as the connections can carry. */
export function runLoad(benchCase: BenchCase, target: LoadTarget): Promise<LoadResult> {
  if (benchCase.protocol === 'grpc') return runGrpcLoad(target);
  if (benchCase.protocol === 'websocket') return runWebSocket(target);
  if (benchCase.newConnections && benchCase.entry === 'tls' && !benchCase.resumes) return runHandshakes(target);
  return runWrk(benchCase, target);
}

/** Load at a fixed rate of requests per second. */
export function runLoadAtRate(benchCase: BenchCase, target: LoadTarget, rate: number): Promise<LoadResult> {
  return benchCase.protocol === 'grpc' ? runGrpcAtRate(target, rate) : runVegeta(target, rate);
}
