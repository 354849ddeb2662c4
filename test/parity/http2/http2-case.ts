/** One exchange with HTTP/2 at one end at least. */
import type { ClientHttp2Stream, IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { LaneConfiguration, UpstreamBehaviour } from '../parity-case.ts';

export interface Http2Case extends LaneConfiguration {
  readonly name: string;
  /** Streams of one connection, each begun when the one before has come to rest; or the bytes of one HTTP/1 connection. */
  readonly requests: readonly Http2Request[] | string;
  /** An HTTP/2 upstream, the default answers 200 with the body `ok`; or a raw HTTP/1 one. */
  readonly upstream?: Http2Answer | { readonly http1: UpstreamBehaviour | readonly UpstreamBehaviour[] };
  /** SETTINGS of the upstream. */
  readonly upstreamSettings?: object;
  /** The exchange is over no earlier than when the client has seen this. */
  readonly until?: RegExp;
  /** Which counters of the lane must have moved alike; default: all. */
  readonly stats?: RegExp;
  /** Why Envoy and this proxy differ on purpose: then the case asserts that they do. */
  readonly differs?: string;
}

export interface Http2Request {
  /** GET / with an authority unless said otherwise. */
  readonly headers?: OutgoingHttpHeaders;
  /** Absent: the headers end the request. Pieces are sent each when everything before has come to rest. */
  readonly body?: string | readonly string[];
  readonly trailers?: OutgoingHttpHeaders;
  /** The request is left open. */
  readonly open?: boolean;
  /** The stream is reset with this code when everything before has come to rest. */
  readonly reset?: number;
  /** Begun together with the one before. */
  readonly together?: boolean;
  /** Called with the stream when the response begins. */
  readonly onResponse?: (stream: ClientHttp2Stream) => void;
}

/** `count` is the number of streams so far, this one included. */
export type Http2Answer = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, count: number) => void;

/**
 * For connections that end while something is read from them, by a drain or a limit: Envoy sometimes counts them as broken, by how their
 * bytes were cut.
 */
export const exceptProtocolErrors = /^(?!.*(_bytes_total|_cx_protocol_error): )/;

/** A cluster whose upstream speaks HTTP/2 by prior knowledge. */
export function http2Cluster(options: object = {}, protocol: object = {}): object {
  return {
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        explicit_http_config: { http2_protocol_options: options },
        ...protocol,
      },
    },
  };
}
