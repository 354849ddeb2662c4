/**
 * Istio's standard metrics: finds the counters of a stream by what its labels depend on, so that a request costs map lookups
 * on small keys and label sets are made once.
 */
import type { NodeModel } from '../../http/filter.ts';
import type { FormatContext } from '../format-operator.ts';
import { formatResponseFlags } from '../response-flags.ts';
import type { Counter, Gauge, Histogram, StatsStore, Tag } from '../stats-store.ts';
import type { StreamInfo } from '../stream-info.ts';
import type { ExpressionValues, StandardMetric } from './metric-overrides.ts';
import { MetricOverrides } from './metric-overrides.ts';
import type { IstioStatsModel } from './model.ts';
import type { LabelInput, OwnWorkload, Reporter } from './stream-labels.ts';
import { computeLabels, isSameInput, readLabelInput, readOwnWorkload } from './stream-labels.ts';

const namespace = 'istiocustom';

export interface IstioMetricsContext {
  readonly stats: StatsStore;
  readonly node: NodeModel;
  readonly trafficDirection: 'unspecified' | 'inbound' | 'outbound';
}

/** The metrics of one finished HTTP stream; null where a metric is dropped. */
interface HttpMetrics {
  readonly requests: Counter | null;
  readonly durationMs: Histogram | null;
  readonly requestBytes: Histogram | null;
  readonly responseBytes: Histogram | null;
}

/** The metrics of one TCP connection. */
export interface TcpMetrics {
  readonly opened: Counter | null;
  readonly closed: Counter | null;
  readonly sentBytes: Counter | null;
  readonly receivedBytes: Counter | null;
}

export interface MessageMetrics {
  readonly requests: Counter | null;
  readonly responses: Counter | null;
}

/** Streams between the same two parties. */
interface PeerEntry {
  readonly input: LabelInput;
  readonly tags: readonly Tag[];
  readonly http: Map<number | string, HttpMetrics>;
  readonly tcp: Map<string, TcpMetrics>;
}

export class IstioMetrics {
  readonly model: IstioStatsModel;
  readonly reporter: Reporter;
  readonly #context: IstioMetricsContext;
  readonly #own: OwnWorkload;
  readonly #overrides: MetricOverrides;
  readonly #entries = new Map<string, PeerEntry>();
  /** What peers and services are, as parts of keys: each connection brings its peer anew, each push its services. */
  readonly #objectKeys = new WeakMap<object, string>();
  #last: PeerEntry | null = null;

  constructor(model: IstioStatsModel, context: IstioMetricsContext) {
    this.model = model;
    this.#context = context;
    this.#own = readOwnWorkload(context.node);
    this.#overrides = new MetricOverrides(model, context.node);
    if (model.reporter === 'server-gateway') this.reporter = 'waypoint';
    else this.reporter = context.trafficDirection === 'inbound' ? 'destination' : 'source';
    const version = context.node.metadata.ISTIO_VERSION;
    this.#gauge('istio_build', [
      ['component', 'proxy'],
      ['tag', typeof version === 'string' && version !== '' ? version : 'unknown'],
    ]).set(1);
  }

  /** Counts a finished request. `isGrpc` is what its headers say. */
  recordRequest(context: FormatContext, isGrpc: boolean): void {
    const { info } = context;
    const entry = this.#entryOf(info, context.requestHeaders?.authority ?? '');
    const values = this.#overrides.evaluate(context);
    const metrics = this.#httpMetrics(entry, info, isGrpc, values);
    metrics.requests?.inc();
    metrics.durationMs?.record(Math.max(0, Math.floor(info.endMonotonicMs - info.startMonotonicMs)));
    metrics.requestBytes?.record(info.wireBytesReceived);
    metrics.responseBytes?.record(info.wireBytesSent);
    this.#recordDefinitions(values);
  }

  /** Counters of a gRPC stream's messages: labels of the parties only. */
  findMessageMetrics(context: FormatContext): MessageMetrics {
    const entry = this.#entryOf(context.info, context.requestHeaders?.authority ?? '');
    const values = this.#overrides.evaluate(context);
    return {
      requests: this.#counter('request_messages_total', entry.tags, values),
      responses: this.#counter('response_messages_total', entry.tags, values),
    };
  }

  findTcpMetrics(context: FormatContext): TcpMetrics {
    const { info } = context;
    const entry = this.#entryOf(info, '');
    const values = this.#overrides.evaluate(context);
    const key = `${info.responseFlagSequence}${this.#valuesKey(values)}`;
    let metrics = entry.tcp.get(key);
    if (metrics === undefined) {
      const tags: Tag[] = [...entry.tags, ['request_protocol', 'tcp'], ...this.#endTags(info, entry.input)];
      metrics = {
        opened: this.#counter('tcp_connections_opened_total', tags, values),
        closed: this.#counter('tcp_connections_closed_total', tags, values),
        sentBytes: this.#counter('tcp_sent_bytes_total', tags, values),
        receivedBytes: this.#counter('tcp_received_bytes_total', tags, values),
      };
      entry.tcp.set(key, metrics);
    }
    return metrics;
  }

  /** Metrics by definition, of a finished connection. */
  recordConnectionEnd(context: FormatContext): void {
    if (this.#overrides.definitions.length > 0) this.#recordDefinitions(this.#overrides.evaluate(context));
  }

  #entryOf(info: StreamInfo, authority: string): PeerEntry {
    const input = readLabelInput(this.reporter, info, this.model.disableHostHeaderFallback ? '' : authority);
    const last = this.#last;
    if (last !== null && isSameInput(last.input, input)) return last;
    const key = this.#inputKey(input);
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = { input, tags: computeLabels(this.reporter, this.#own, input), http: new Map(), tcp: new Map() };
      this.#entries.set(key, entry);
    }
    this.#last = entry;
    return entry;
  }

  #inputKey(input: LabelInput): string {
    const { service, host, peerSan, localSan, specialRoute, endpointWorkload } = input;
    const objects = [input.peer, service, input.endpointPeer].map(object => this.#keyOf(object));
    return [...objects, host, peerSan, localSan, specialRoute, endpointWorkload].join('\n');
  }

  #keyOf(object: object | null): string {
    if (object === null) return '';
    let key = this.#objectKeys.get(object);
    if (key === undefined) {
      key = JSON.stringify(object);
      this.#objectKeys.set(object, key);
    }
    return key;
  }

  #httpMetrics(entry: PeerEntry, info: StreamInfo, isGrpc: boolean, values: ExpressionValues): HttpMetrics {
    const grpc = isGrpc ? Math.min(info.grpcStatus, 60) + 2 : 0;
    const number = (info.responseFlagSequence * 1024 + info.responseCode) * 64 + grpc;
    const key = values.length === 0 ? number : `${number}${this.#valuesKey(values)}`;
    let metrics = entry.http.get(key);
    if (metrics === undefined) {
      const tags: Tag[] = [
        ...entry.tags,
        ['request_protocol', isGrpc ? 'grpc' : 'http'],
        ['response_code', String(info.responseCode)],
        ['grpc_response_status', isGrpc && info.grpcStatus >= 0 ? String(info.grpcStatus) : ''],
        ...this.#endTags(info, entry.input),
      ];
      metrics = {
        requests: this.#counter('requests_total', tags, values),
        durationMs: this.#histogram('request_duration_milliseconds', tags, values),
        requestBytes: this.#histogram('request_bytes', tags, values),
        responseBytes: this.#histogram('response_bytes', tags, values),
      };
      entry.http.set(key, metrics);
    }
    return metrics;
  }

  #valuesKey(values: ExpressionValues): string {
    return values.length === 0 ? '' : JSON.stringify(values);
  }

  #endTags(info: StreamInfo, input: LabelInput): Tag[] {
    const isMutual = input.peerSan !== '' && input.localSan !== '';
    const policy = this.reporter === 'source' ? 'unknown' : isMutual ? 'mutual_tls' : 'none';
    return [
      ['response_flags', formatResponseFlags(info.responseFlagSequence)],
      ['connection_security_policy', policy],
    ];
  }

  #counter(metric: StandardMetric, tags: readonly Tag[], values: ExpressionValues): Counter | null {
    if (this.#overrides.isDropped(metric)) return null;
    const own = this.#overrides.applyTo(metric, tags, values);
    const name = `istio_${metric}`;
    return this.#context.stats.counter(fullName(name, own), `${namespace}.${name}`, own);
  }

  #histogram(metric: StandardMetric, tags: readonly Tag[], values: ExpressionValues): Histogram | null {
    if (this.#overrides.isDropped(metric)) return null;
    const own = this.#overrides.applyTo(metric, tags, values);
    const name = `istio_${metric}`;
    return this.#context.stats.histogram(fullName(name, own), `${namespace}.${name}`, own);
  }

  #gauge(name: string, tags: readonly Tag[]): Gauge {
    return this.#context.stats.gauge(fullName(name, tags), `${namespace}.${name}`, tags);
  }

  #recordDefinitions(values: ExpressionValues): void {
    for (const definition of this.#overrides.definitions) {
      const tags = this.#overrides.applyTo(definition.name, [], values);
      const name = `istio_${definition.name}`;
      const amount = this.#overrides.amountOf(definition, values);
      const full = fullName(name, tags);
      const extracted = `${namespace}.${name}`;
      if (definition.type === 'counter') this.#context.stats.counter(full, extracted, tags).add(amount);
      else if (definition.type === 'gauge') this.#gauge(name, tags).set(amount);
      else this.#context.stats.histogram(full, extracted, tags).record(amount);
    }
  }
}

/** Envoy's flat form of a name with tags; empty parts vanish. */
function fullName(name: string, tags: readonly Tag[]): string {
  let text = `${namespace}.${name}`;
  for (const [tag, value] of tags) text += value === '' ? `.${tag}` : `.${tag}.${value}`;
  return text;
}
