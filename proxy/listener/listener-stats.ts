/** Counters of one listener on one worker, under Envoy's names. */
import { type Address, formatAddress } from '../config/model/address.ts';
import type { Counter, Gauge, Histogram, StatsStore } from '../telemetry/stats-store.ts';

export class ListenerStats {
  readonly cxTotal: Counter;
  readonly cxDestroy: Counter;
  readonly cxActive: Gauge;
  readonly cxLengthMs: Histogram;
  readonly preCxTimeout: Counter;
  readonly preCxActive: Gauge;
  readonly globalCxOverflow: Counter;
  readonly transportSocketConnectTimeout: Counter;
  readonly filterRemoteClose: Counter;
  readonly filterError: Counter;
  readonly noFilterChainMatch: Counter;
  readonly workerCxTotal: Counter;
  readonly workerCxActive: Gauge;
  /** Every event accepts one connection here. */
  readonly acceptedPerEvent: Histogram;

  constructor(stats: StatsStore, statName: string, workerIndex: number) {
    const counter = (name: string): Counter => stats.counter(`${statName}.${name}`);
    this.cxTotal = counter('downstream_cx_total');
    this.cxDestroy = counter('downstream_cx_destroy');
    this.cxActive = stats.gauge(`${statName}.downstream_cx_active`);
    this.cxLengthMs = stats.histogram(`${statName}.downstream_cx_length_ms`);
    this.preCxTimeout = counter('downstream_pre_cx_timeout');
    this.preCxActive = stats.gauge(`${statName}.downstream_pre_cx_active`);
    this.globalCxOverflow = counter('downstream_global_cx_overflow');
    this.transportSocketConnectTimeout = counter('downstream_cx_transport_socket_connect_timeout');
    this.filterRemoteClose = counter('downstream_listener_filter_remote_close');
    this.filterError = counter('downstream_listener_filter_error');
    this.noFilterChainMatch = counter('no_filter_chain_match');
    this.workerCxTotal = counter(`worker_${workerIndex}.downstream_cx_total`);
    this.workerCxActive = stats.gauge(`${statName}.worker_${workerIndex}.downstream_cx_active`);
    this.acceptedPerEvent = stats.histogram(`${statName}.connections_accepted_per_socket_event`);
  }
}

/** `listener.<prefix or first address>`, with what would separate name parts replaced. */
export function listenerStatName(statPrefix: string, address: Address): string {
  if (statPrefix === '' && address.kind === 'internal') return `listener.envoy_internal_${address.listener}`;
  const text = statPrefix === '' ? formatAddress(address) : statPrefix;
  return `listener.${text.replace(/[:/]/g, '_')}`;
}
