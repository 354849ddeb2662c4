/** One exchange that Envoy and this proxy must handle alike. Texts are bytes in latin1. */
export interface ParityCase {
  readonly name: string;
  /** Sent on one downstream connection; a list is sent piece by piece with a pause between. */
  readonly send: string | readonly string[];
  /** Ends the client's direction after sending. */
  readonly halfClose?: boolean;
  /** What the upstream does with each request head it has read; the default answers `200` with the body `ok`. */
  readonly upstream?: UpstreamBehaviour;
  /** The route's settings, merged into the one route of the bootstrap. */
  readonly route?: object;
  /** Merged into the connection manager. */
  readonly manager?: object;
  /** Why Envoy and this proxy differ on purpose: then the case asserts that they do. */
  readonly differs?: string;
}

export type UpstreamBehaviour =
  /** Sends these bytes after each request head. */
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
  /** Response code, flags, details and termination details per access log line. */
  readonly log: readonly string[];
}
