/**
 * `envoy.filters.listener.http_inspector`: recognizes HTTP by its first line or the HTTP/2 preface.
 *
 * Differs from Envoy: of a line that is not complete the beginning must look like a known method. Envoy waits for the end of any
 * line, and so holds up a client of another protocol that waits for an answer.
 */
import type { Counter, StatsStore } from '../telemetry/stats-store.ts';
import { type ListenerFilter, type ListenerFilterFactory, ListenerFilterStatus, type ListenerSocket } from './listener-filter.ts';

const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
/** Longest first line that is waited for, bytes. */
const maxInspectBytes = 65_536;
const LF = 10;

const knownMethods =
  'ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MOVE M-SEARCH NOTIFY OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE'.split(
    ' ',
  );

/** Method, target and version, which may be missing. */
const requestLine = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]+([^ \t\x7f-\xff]+)(?:[ \t]+(HTTP\/\d\.\d)?[ \t]*)?\r*$/;
const targetStart = /^(?:[/*]|[A-Za-z][A-Za-z0-9+.-]*:\/\/[A-Za-z0-9!$%&'()*+,\-.:;=@[\]_~]*(?:[/?]|$))/;

export type HttpDetection = 'http/1.0' | 'http/1.1' | 'h2c' | 'incomplete' | 'not-http';

/** What the bytes received so far begin. */
export function detectHttp(bytes: Buffer): HttpDetection {
  const start = bytes.toString('latin1', 0, Math.min(bytes.length, preface.length));
  if (preface.startsWith(start)) return bytes.length >= preface.length ? 'h2c' : 'incomplete';
  const end = bytes.indexOf(LF);
  if (end === -1) return beginsRequest(start) && bytes.length < maxInspectBytes ? 'incomplete' : 'not-http';
  const match = requestLine.exec(bytes.toString('latin1', 0, end));
  if (match === null || !(targetStart.test(match[2]) || match[1] === 'CONNECT')) return 'not-http';
  // Envoy's parser knows one other version, and takes every one but HTTP/1.1 for it.
  return match[3] === 'HTTP/1.1' ? 'http/1.1' : 'http/1.0';
}

function beginsRequest(start: string): boolean {
  const space = start.indexOf(' ');
  if (space !== -1) return knownMethods.includes(start.slice(0, space));
  return knownMethods.some(method => method.startsWith(start));
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
