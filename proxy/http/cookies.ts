/** Cookies of a request, and the `set-cookie` of the ones that the proxy makes. */
import type { HeaderMap } from './header-map.ts';

/** The value without its quotes, or null. */
export function findCookie(headers: HeaderMap, name: string): string | null {
  for (const header of headers.getAll('cookie')) {
    for (const part of header.split(';')) {
      const equals = part.indexOf('=');
      if (equals === -1 || part.slice(0, equals).trim() !== name) continue;
      const value = part.slice(equals + 1).trim();
      return value.length > 1 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
    }
  }
  return null;
}

export interface CookieSettings {
  readonly name: string;
  /** Null or 0: until the client's session ends. */
  readonly ttlMs: number | null;
  /** Empty: none. */
  readonly path: string;
  readonly attributes: readonly { readonly name: string; readonly value: string }[];
}

/** The value of `set-cookie`, in Envoy's form. */
export function formatSetCookie({ name, ttlMs, path, attributes }: CookieSettings, value: string): string {
  let cookie = `${name}="${value}"`;
  if (ttlMs !== null && ttlMs > 0) cookie += `; Max-Age=${Math.floor(ttlMs / 1000)}`;
  if (path !== '') cookie += `; Path=${path}`;
  for (const attribute of attributes) {
    cookie += attribute.value === '' ? `; ${attribute.name}` : `; ${attribute.name}=${attribute.value}`;
  }
  return `${cookie}; HttpOnly`;
}
