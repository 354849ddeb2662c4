/** What a case changes in the bootstrap of its lane. */
export interface LaneConfiguration {
  /**
   * The route's settings, merged into the one route of the bootstrap. In texts of the configuration `$lane` is the cluster;
   * `$port` and `$second_port` are the ports of the upstreams.
   */
  readonly route?: object;
  /** Replaces the one route. */
  readonly routes?: readonly object[];
  /** Merged into the virtual host. */
  readonly virtualHost?: object;
  /** Merged into the route configuration. */
  readonly routeConfig?: object;
  /** Merged into the connection manager. */
  readonly manager?: object;
  /** Merged into the cluster. */
  readonly cluster?: object;
  /** Merged into the filter chain. */
  readonly filterChain?: object;
  /** Merged into the listener. */
  readonly listener?: object;
  /** HTTP filters in front of the router. */
  readonly filters?: readonly object[];
}

/** One exchange that Envoy and this proxy must handle alike. Texts are bytes in latin1. */
export interface ParityCase extends LaneConfiguration {
  readonly name: string;
  /** Sent on one downstream connection; a list is sent piece by piece, each when everything before it has come to rest. */
  readonly send: string | readonly string[];
  /** Ends the client's direction after sending. */
  readonly halfClose?: boolean;
  /**
   * What the upstream does with each request head it has read; the default answers `200` with the body `ok`. A list holds one
   * behaviour per head, over all connections; its last one repeats.
   */
  readonly upstream?: UpstreamBehaviour | readonly UpstreamBehaviour[];
  /** A second upstream, as the cluster `$lane-b`; absent: there is none. */
  readonly secondUpstream?: UpstreamBehaviour | readonly UpstreamBehaviour[];
  /** Which counters of the lane (`http.$lane.`, `cluster.$lane.` and others that name it) must have moved alike; default: all. */
  readonly stats?: RegExp;
  /** The exchange is over no earlier than when the client has read this. */
  readonly until?: RegExp;
  /** Why Envoy and this proxy differ on purpose: then the case asserts that they do. */
  readonly differs?: string;
}

export type UpstreamBehaviour =
  /** Sends these bytes after a request head. */
  | { readonly respond: string | readonly string[]; readonly thenClose?: boolean }
  | { readonly closeAfterHead: true }
  | { readonly resetAfterHead: true }
  /** Never answers. */
  | { readonly hang: true }
  /** Nothing listens. */
  | { readonly absent: true };

/** What the two ends saw. */
export interface Outcome {
  readonly client: string;
  readonly clientEnd: 'open' | 'fin' | 'reset';
  /** Bytes per upstream connection, in order of arrival. */
  readonly upstream: readonly string[];
  readonly secondUpstream: readonly string[];
  /** Response code, flags, details and more, per access log line. */
  readonly log: readonly string[];
  /** Counters and their values. */
  readonly stats: readonly string[];
}
