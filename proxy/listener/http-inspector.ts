/** `envoy.filters.listener.http_inspector`: recognizes HTTP by its first line or the HTTP/2 preface. */
import type { Counter, StatsStore } from '../telemetry/stats-store.ts';
import { type ListenerFilter, type ListenerFilterFactory, ListenerFilterStatus, type ListenerSocket } from './listener-filter.ts';

const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
/** Longest first line that is waited for, bytes. */
const maxInspectBytes = 65_536;

const methods =
  'ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MOVE M-SEARCH NOTIFY OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE'.split(
    ' ',
  );

export type HttpDetection = 'http/1.0' | 'http/1.1' | 'h2c' | 'incomplete' | 'not-http';

/** What the bytes received so far begin. */
export function detectHttp(bytes: Buffer): HttpDetection {
  const start = bytes.toString('latin1', 0, Math.min(bytes.length, preface.length));
  if (preface.startsWith(start)) return bytes.length >= preface.length ? 'h2c' : 'incomplete';
  const line = firstLine(bytes);
  if (line === null) {
    const word = start.split(' ', 1)[0];
    const plausible = start.includes(' ') ? methods.includes(word) : methods.some(method => method.startsWith(word));
    return plausible && bytes.length < maxInspectBytes ? 'incomplete' : 'not-http';
  }
  const match = /^([A-Z-]+) +[^ ]+ +HTTP\/1\.([01])$/.exec(line);
  if (match === null || !methods.includes(match[1])) return 'not-http';
  return match[2] === '1' ? 'http/1.1' : 'http/1.0';
}

/** Up to the first CR or LF; null if none has come. */
function firstLine(bytes: Buffer): string | null {
  const cr = bytes.indexOf(13);
  const lf = bytes.indexOf(10);
  const end = cr < 0 ? lf : lf < 0 ? cr : Math.min(cr, lf);
  return end < 0 ? null : bytes.toString('latin1', 0, end);
}

interface HttpInspectorStats {
  readonly http10Found: Counter;
  readonly http11Found: Counter;
  readonly http2Found: Counter;
  readonly httpNotFound: Counter;
}

const found: {
  readonly [K in 'http/1.0' | 'http/1.1' | 'h2c']: { readonly list: readonly string[]; readonly stat: keyof HttpInspectorStats };
} = {
  'http/1.0': { list: ['http/1.0'], stat: 'http10Found' },
  'http/1.1': { list: ['http/1.1'], stat: 'http11Found' },
  h2c: { list: ['h2c'], stat: 'http2Found' },
};

class HttpInspector implements ListenerFilter {
  readonly #stats: HttpInspectorStats;
  #socket: ListenerSocket | null = null;

  constructor(stats: HttpInspectorStats) {
    this.#stats = stats;
  }

  onAccept(socket: ListenerSocket): ListenerFilterStatus {
    this.#socket = socket;
    const { transportProtocol } = socket.info;
    return transportProtocol === '' || transportProtocol === 'raw_buffer'
      ? ListenerFilterStatus.needData
      : ListenerFilterStatus.continue;
  }

  onData(bytes: Buffer): ListenerFilterStatus {
    const detected = detectHttp(bytes);
    if (detected === 'incomplete') return ListenerFilterStatus.needData;
    if (detected === 'not-http') {
      this.#stats.httpNotFound.inc();
      return ListenerFilterStatus.continue;
    }
    const { list, stat } = found[detected];
    (this.#socket as ListenerSocket).info.requestedApplicationProtocols = list;
    this.#stats[stat].inc();
    return ListenerFilterStatus.continue;
  }
}

export function createHttpInspectorFactory(store: StatsStore): ListenerFilterFactory {
  const counter = (name: string): Counter => store.counter(`http_inspector.${name}`);
  const stats: HttpInspectorStats = {
    http10Found: counter('http10_found'),
    http11Found: counter('http11_found'),
    http2Found: counter('http2_found'),
    httpNotFound: counter('http_not_found'),
  };
  return () => new HttpInspector(stats);
}
