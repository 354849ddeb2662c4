/** Message heads as text: first lines and header lines, in one string. */
import type { HeaderMap } from '../header-map.ts';
import { reasonPhrase } from '../status-text.ts';

const statusLines11: string[] = [];
const statusLines10: string[] = [];

function statusLine(status: number, isHttp10: boolean): string {
  const lines = isHttp10 ? statusLines10 : statusLines11;
  let line = lines[status];
  if (line === undefined) {
    line = `${isHttp10 ? 'HTTP/1.0' : 'HTTP/1.1'} ${status} ${reasonPhrase(status)}\r\n`;
    if (status < 1000) lines[status] = line;
  }
  return line;
}

/** A name as its message wrote it, if that is known. */
function spell(names: ReadonlyMap<string, string> | null, name: string): string {
  return names?.get(name) ?? name;
}

/** How a response's body is framed. */
export interface ResponseFraming {
  readonly isHttp10: boolean;
  readonly isHead: boolean;
  /** The request was CONNECT or an upgrade, and this response accepts it. */
  readonly isRaw: boolean;
}

/** The head of a response, with what frames its body; `chunked` says whether data must be chunked. */
export function formatResponseHead(
  headers: HeaderMap,
  endStream: boolean,
  framing: ResponseFraming,
): { text: string; chunked: boolean } {
  const status = headers.status;
  const isBodiless = status < 200 || status === 204;
  const { entries, originalNames: names } = headers;
  let text = statusLine(status, framing.isHttp10);
  let hasLength = false;
  for (let i = 0; i < entries.length; i += 2) {
    if (entries[i] === 'content-length') {
      if (isBodiless) continue;
      hasLength = true;
    }
    text += `${names === null ? entries[i] : spell(names, entries[i])}: ${entries[i + 1]}\r\n`;
  }
  if (hasLength || isBodiless || framing.isRaw) return { text: `${text}\r\n`, chunked: false };
  if (status === 304) return { text: `${text}\r\n`, chunked: false };
  if (endStream && !framing.isHead) return { text: `${text}${spell(names, 'content-length')}: 0\r\n\r\n`, chunked: false };
  if (framing.isHttp10) return { text: `${text}\r\n`, chunked: false };
  return { text: `${text}${spell(names, 'transfer-encoding')}: chunked\r\n\r\n`, chunked: true };
}

/** The head of a request, with what frames its body. `host` comes first, as `:authority` does in Envoy's header map. */
export function formatRequestHead(
  headers: HeaderMap,
  endStream: boolean,
  isRaw: boolean,
  target: string,
): { text: string; chunked: boolean } {
  const method = headers.method;
  const { entries, originalNames: names } = headers;
  let text = `${method} ${target} HTTP/1.1\r\n${spell(names, 'host')}: ${headers.authority}\r\n`;
  let hasLength = false;
  for (let i = 0; i < entries.length; i += 2) {
    if (entries[i] === 'content-length') hasLength = true;
    text += `${names === null ? entries[i] : spell(names, entries[i])}: ${entries[i + 1]}\r\n`;
  }
  if (hasLength || isRaw) return { text: `${text}\r\n`, chunked: false };
  if (endStream)
    return {
      text: shouldHaveNoBody(method) ? `${text}\r\n` : `${text}${spell(names, 'content-length')}: 0\r\n\r\n`,
      chunked: false,
    };
  return { text: `${text}${spell(names, 'transfer-encoding')}: chunked\r\n\r\n`, chunked: true };
}

/** Methods whose requests get no `content-length: 0`. */
function shouldHaveNoBody(method: string): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'DELETE' || method === 'TRACE' || method === 'CONNECT';
}

/** The last chunk and the trailers. */
export function formatTrailers(trailers: HeaderMap | null): string {
  if (trailers === null || trailers.size === 0) return '0\r\n\r\n';
  let text = '0\r\n';
  for (let i = 0; i < trailers.entries.length; i += 2) text += `${trailers.entries[i]}: ${trailers.entries[i + 1]}\r\n`;
  return `${text}\r\n`;
}
