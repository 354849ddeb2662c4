/** Network (L4) filters: Envoy's read and write filters, flat. */
import type { Metadata } from '../config/model/matchers.ts';
import type { NodeModel, WorkerServices } from '../http/filter.ts';
import type { StatsStore } from '../telemetry/stats-store.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import type { CloseEvent, Connection } from './connection.ts';

export const FilterStatus = { continue: 0, stop: 1 } as const;
export type FilterStatus = (typeof FilterStatus)[keyof typeof FilterStatus];

/**
 * One filter of one connection. A filter that returns `stop` from onData or onWrite has taken the bytes: what should go on it
 * passes by itself through the callbacks.
 */
export interface NetworkFilter {
  /** Called once, when the connection is established. `stop` defers the filters behind until `continueReading`. */
  onNewConnection?(): FilterStatus;
  /** Bytes from the peer. The rules of `ConnectionCallbacks.onData` hold for `data`. */
  onData?(data: Buffer, endStream: boolean): FilterStatus;
  /** Bytes on their way to the peer. */
  onWrite?(data: Buffer, endStream: boolean): FilterStatus;
  onClose?(event: CloseEvent): void;
  onAboveWriteBufferHighWatermark?(): void;
  onBelowWriteBufferLowWatermark?(): void;
}

/** What a network filter may do with its connection. */
export interface NetworkFilterCallbacks {
  readonly connection: Connection;
  readonly streamInfo: StreamInfo;
  /** Resumes after onNewConnection returned `stop`. */
  continueReading(): void;
  /** Passes bytes to the read filters behind this one. */
  passReadData(data: Buffer, endStream: boolean): void;
  /** Passes bytes to the write filters behind this one, and then to the connection. */
  passWriteData(data: Buffer, endStream: boolean): void;
}

/** Made once per filter chain (push time); makes one filter per connection. */
export interface NetworkFilterFactory {
  (callbacks: NetworkFilterCallbacks): NetworkFilter;
  /** Counts a connection whose peer was refused before its filters began, after `lengthMs`. */
  readonly countRefused?: (lengthMs: number) => void;
}

/** The listener and chain a filter belongs to. */
export interface ListenerScope {
  readonly name: string;
  /** `listener.<address>`, the prefix of the listener's counters. */
  readonly statName: string;
  readonly metadata: Metadata;
  readonly filterChainMetadata: Metadata;
}

/** What the builder of a network filter gets: one per filter chain and worker. */
export interface NetworkFactoryContext {
  readonly stats: StatsStore;
  readonly node: NodeModel;
  readonly trafficDirection: 'unspecified' | 'inbound' | 'outbound';
  readonly services: WorkerServices;
  /** Null for upstream network filters. */
  readonly listener: ListenerScope | null;
}

/** Compiled configuration to factory: at push time, on the worker; cannot fail. */
export type NetworkFilterBuilder = (config: never, context: NetworkFactoryContext) => NetworkFilterFactory;
export type NetworkFilterBuilders = { readonly [kind: string]: NetworkFilterBuilder };
