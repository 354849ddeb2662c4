/** Which HTTP version a downstream connection speaks: by configuration, by ALPN, else by its first bytes. */
import type { HttpConnectionManagerModel } from '../config/model/http-connection-manager.ts';

/** The start of HTTP/2's connection preface, which no HTTP/1 request has. */
const http2Prefix = Buffer.from('PRI * HTTP/2', 'latin1');

/** `more`: what was seen may still become either. */
export function chooseCodec(
  codecType: HttpConnectionManagerModel['codecType'],
  alpn: string,
  seen: Buffer,
): 'http1' | 'http2' | 'more' {
  if (codecType !== 'auto') return codecType;
  if (alpn !== '') return alpn === 'h2' ? 'http2' : 'http1';
  const common = Math.min(seen.length, http2Prefix.length);
  if (seen.compare(http2Prefix, 0, common, 0, common) !== 0) return 'http1';
  return common === http2Prefix.length ? 'http2' : 'more';
}
