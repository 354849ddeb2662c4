/** `stats.PluginConfig` of Istio's metrics after compilation. */
export interface IstioStatsModel {
  readonly reporter: 'by-direction' | 'server-gateway';
  readonly disableHostHeaderFallback: boolean;
  /** Milliseconds between reports of a live TCP connection or gRPC stream; 0: only at the end. */
  readonly tcpReportingDurationMs: number;
  readonly metrics: readonly MetricOverrideModel[];
  readonly definitions: readonly MetricDefinitionModel[];
}

export interface MetricOverrideModel {
  /** Without `istio_`; empty: all metrics. */
  readonly name: string;
  readonly drop: boolean;
  readonly tagsToRemove: readonly string[];
  /** Sorted by tag. An expression that fails gives `unknown`. */
  readonly dimensions: readonly { readonly tag: string; readonly expression: string }[];
}

export interface MetricDefinitionModel {
  readonly name: string;
  /** An expression whose value is the amount. */
  readonly value: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
}
