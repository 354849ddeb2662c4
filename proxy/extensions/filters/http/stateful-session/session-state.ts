/**
 * How a session names its host to the client: a cookie or a header, both in Envoy's encoding, so that a client may move
 * between its proxies and this one.
 */
import { findCookie, formatSetCookie } from '../../../../http/cookies.ts';
import type { HeaderMap } from '../../../../http/header-map.ts';
import type { StatefulSessionModel } from './config.ts';

export interface SessionState {
  /** `ip:port` of the host that the request asks for; null: it begins a session. Undefined: it can have none. */
  readHost(request: HeaderMap): string | null | undefined;
  /** Tells the client its host. */
  writeHost(response: HeaderMap, address: string): void;
}

type CookieModel = Extract<StatefulSessionModel['state'], { kind: 'cookie' }>;

export function createSessionState(model: NonNullable<StatefulSessionModel['state']>): SessionState {
  if (model.kind === 'cookie') return createCookieState(model);
  const { name } = model;
  return {
    readHost: request => {
      const value = request.get(name);
      return value === undefined ? null : decodeBase64(value).toString('latin1') || null;
    },
    writeHost: (response, address) => response.set(name, Buffer.from(address, 'latin1').toString('base64')),
  };
}

function createCookieState(model: CookieModel): SessionState {
  const settings = { ...model, attributes: [] };
  return {
    readHost: request => {
      if (!isBelow(request.path, model.path)) return undefined;
      const value = findCookie(request, model.name);
      return value === null ? null : parseSession(decodeBase64(value), Date.now());
    },
    writeHost: (response, address) => {
      const expiresSeconds = model.ttlMs === 0 ? 0 : Math.floor((Date.now() + model.ttlMs) / 1000);
      response.add('set-cookie', formatSetCookie(settings, encodeSession(address, expiresSeconds).toString('base64')));
    },
  };
}

/** Whether a cookie of this path belongs to a request. */
function isBelow(requestPath: string, cookiePath: string): boolean {
  if (cookiePath === '' || cookiePath === '/') return true;
  if (!requestPath.startsWith(cookiePath)) return false;
  return cookiePath.endsWith('/') || requestPath.length === cookiePath.length || '/?#'.includes(requestPath[cookiePath.length]);
}

/** Empty if it is no base64. */
function decodeBase64(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : Buffer.alloc(0);
}

const addressTag = (1 << 3) | 2;
const expiresTag = 2 << 3;

/** Envoy's `message Cookie { string address = 1; uint64 expires = 2; }`, `expires` in seconds of the epoch, 0: never. */
export function encodeSession(address: string, expiresSeconds: number): Buffer {
  const text = Buffer.from(address, 'latin1');
  const bytes = [addressTag, ...encodeVarint(text.length), ...text];
  if (expiresSeconds > 0) bytes.push(expiresTag, ...encodeVarint(expiresSeconds));
  return Buffer.from(bytes);
}

function encodeVarint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  bytes.push(rest);
  return bytes;
}

/** The address, or null if it has expired or the bytes are no session. */
export function parseSession(bytes: Buffer, nowMs: number): string | null {
  let at = 0;
  let address: string | null = null;
  let expiresSeconds = 0;
  const readVarint = (): number => {
    let value = 0;
    for (let scale = 1; at < bytes.length; scale *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    return Number.NaN;
  };
  while (at < bytes.length) {
    const tag = readVarint();
    const value = readVarint();
    if (tag === expiresTag) expiresSeconds = value;
    else if (tag === addressTag && at + value <= bytes.length) {
      address = bytes.toString('latin1', at, at + value);
      at += value;
    } else return null;
  }
  if (Number.isNaN(expiresSeconds) || (expiresSeconds > 0 && expiresSeconds * 1000 < nowMs)) return null;
  return address || null;
}
