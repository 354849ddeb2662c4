/** Fields of one header block to a header map, under nghttp2's rules for messages and Envoy's limits. */
import { HeaderMap } from '../header-map.ts';
import { FieldKind, type FieldName } from './field-name.ts';
import type { FieldSink } from './hpack-decoder.ts';
import type { Http2Options } from './options.ts';

export type BlockKind = 'request' | 'response' | 'request-trailers' | 'response-trailers';

/** Why a block is refused; the first reason counts. */
export type BlockError =
  | ''
  /** A field that must not be. */
  | 'invalid-field'
  /** Fields that do not make a message. */
  | 'invalid-message'
  | 'too-many'
  | 'too-large'
  | 'underscore';

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const schemeBytes = /^[A-Za-z][A-Za-z0-9+.-]*$/;
const pathBytes = /^[\x21-\x7e\x80-\xff]+$/;
const authorityBytes = /^[!$%&'()*+,.0-9:;=A-Z[\]_a-z~-]+$/;
const statusDigits = /^\d{3}$/;

/** The first values of a request's pseudo headers that were judged before, of which there are few. */
const goodAuthorities = new Set<string>();
const maxGoodAuthorities = 1024;

function isAuthorityValid(value: string): boolean {
  if (goodAuthorities.has(value)) return true;
  if (!authorityBytes.test(value)) return false;
  if (goodAuthorities.size >= maxGoodAuthorities) goodAuthorities.clear();
  if (value.length <= 255) goodAuthorities.add(value);
  return true;
}

/** A decimal length, or -1. */
function parseLength(value: string): number {
  if (!/^\d{1,19}$/.test(value) || BigInt(value) > 0x7fffffffffffffffn) return -1;
  return Number(value);
}

/** One per connection; `begin` readies it for the next block. */
export class HeaderBlockReader implements FieldSink {
  readonly #options: Http2Options;
  headers = new HeaderMap();
  error: BlockError = '';
  /** -1: absent. */
  contentLength = -1;
  #kind: BlockKind = 'request';
  #isTrailers = false;
  #bytes = 0;
  #count = 0;
  #fieldSeen = false;
  #hasPath = false;
  #hasHost = false;
  #cookies = '';

  constructor(options: Http2Options) {
    this.#options = options;
  }

  /** Trailers share `host` and the announced length with the head: what that has said they cannot say again. */
  begin(kind: BlockKind, contentLength = -1, hasHost = false): void {
    this.#kind = kind;
    this.#isTrailers = kind === 'request-trailers' || kind === 'response-trailers';
    this.headers = new HeaderMap();
    this.error = '';
    this.contentLength = contentLength;
    this.#bytes = 0;
    this.#count = 0;
    this.#fieldSeen = false;
    this.#hasPath = false;
    this.#hasHost = hasHost;
    this.#cookies = '';
  }

  get hasHost(): boolean {
    return this.#hasHost;
  }

  #fail(error: BlockError): void {
    if (this.error === '') this.error = error;
  }

  onField(name: FieldName, value: string, isValueValid: boolean): void {
    if (this.error !== '') return;
    this.#bytes += name.text.length + value.length;
    this.#count++;
    const { kind } = name;
    if (kind === FieldKind.other && isValueValid) {
      this.#fieldSeen = true;
      if (this.#kind === 'request' ? name.isInlineOfRequests : name.isInlineOfResponses) this.headers.append(name.text, value);
      else this.headers.entries.push(name.text, value);
    } else if (!isValueValid || !this.#takeSpecial(kind, name.text, value)) {
      this.#fail('invalid-field');
      return;
    }
    if (this.#bytes > this.#options.maxHeadersBytes) this.#fail('too-large');
    else if (this.#count > this.#options.maxHeadersCount) this.#fail('too-many');
  }

  /** False if the field must not be. */
  #takeSpecial(kind: FieldKind, name: string, value: string): boolean {
    if (kind >= FieldKind.method && kind <= FieldKind.unknownPseudo) {
      if (this.#fieldSeen || this.#isTrailers) return false;
      return this.#kind === 'request' ? this.#takeRequestPseudo(kind, value) : this.#takeStatus(kind, value);
    }
    this.#fieldSeen = true;
    switch (kind) {
      case FieldKind.contentLength:
        return this.#takeContentLength(value);
      case FieldKind.host:
        return this.#takeHost(value);
      case FieldKind.cookie:
        // Of what is one header on HTTP/1, each crumb may be a field.
        this.#cookies = this.#cookies === '' ? value : `${this.#cookies}; ${value}`;
        return true;
      case FieldKind.te:
        if (value.toLowerCase() !== 'trailers') return false;
        break;
      case FieldKind.underscore:
        return this.#takeUnderscore(name, value);
      case FieldKind.invalid:
      case FieldKind.connectionSpecific:
        return false;
    }
    this.headers.entries.push(name, value);
    return true;
  }

  #takeRequestPseudo(kind: FieldKind, value: string): boolean {
    const { headers } = this;
    switch (kind) {
      case FieldKind.method:
        if (headers.method !== '' || !token.test(value)) return false;
        headers.method = value;
        return true;
      case FieldKind.path:
        if (this.#hasPath || !pathBytes.test(value)) return false;
        this.#hasPath = true;
        headers.path = value;
        return true;
      case FieldKind.scheme:
        if (headers.scheme !== '' || !schemeBytes.test(value)) return false;
        headers.scheme = value;
        return true;
      case FieldKind.authority:
        if (headers.hasAuthority || !isAuthorityValid(value)) return false;
        headers.authority = value;
        headers.hasAuthority = true;
        return true;
      case FieldKind.protocol:
        if (headers.protocol !== '' || !this.#options.protocol.allowConnect || value === '') return false;
        headers.protocol = value;
        return true;
      default:
        return false;
    }
  }

  #takeStatus(kind: FieldKind, value: string): boolean {
    if (kind !== FieldKind.status || this.headers.status !== 0 || !statusDigits.test(value)) return false;
    this.headers.status = Number(value);
    return this.headers.status !== 101 && this.headers.status > 0;
  }

  #takeContentLength(value: string): boolean {
    const { headers } = this;
    if (headers.status === 204 && value === '0' && this.contentLength === -1) return true;
    if (headers.status === 204 || (headers.status >= 100 && headers.status < 200)) return false;
    if (this.contentLength !== -1) return false;
    this.contentLength = parseLength(value);
    headers.entries.push('content-length', value);
    return this.contentLength !== -1;
  }

  /** `:authority` takes precedence over `host`, which is not kept. */
  #takeHost(value: string): boolean {
    if (this.#kind === 'response' || this.#kind === 'response-trailers') {
      this.headers.entries.push('host', value);
      return true;
    }
    if (this.#hasHost || !isAuthorityValid(value)) return false;
    this.#hasHost = true;
    if (this.#isTrailers) this.headers.entries.push('host', value);
    else if (this.headers.hasAuthority) return true;
    this.headers.authority = value;
    return true;
  }

  #takeUnderscore(name: string, value: string): boolean {
    const { headersWithUnderscores, stats } = this.#options;
    if (headersWithUnderscores === 'allow' || this.#kind === 'response') {
      this.headers.entries.push(name, value);
    } else if (headersWithUnderscores === 'drop') {
      stats.droppedHeadersWithUnderscores.inc();
    } else {
      stats.requestsRejectedWithUnderscoresInHeaders.inc();
      this.#fail('underscore');
    }
    return true;
  }

  /** Ends the block; the result is `headers`, or what `error` says. */
  finish(): void {
    if (this.error !== '') return;
    const { headers } = this;
    if (this.#cookies !== '') headers.entries.push('cookie', this.#cookies);
    if (this.#kind === 'response' && headers.status === 0) this.#fail('invalid-message');
    if (this.#kind !== 'request') return;
    if (this.#hasHost) headers.hasAuthority = true;
    if (!this.#isRequestComplete()) this.#fail('invalid-message');
  }

  #isRequestComplete(): boolean {
    const { method, scheme, hasAuthority, protocol, path } = this.headers;
    if (method === 'CONNECT' && protocol === '') return hasAuthority && scheme === '' && !this.#hasPath;
    if (method === '' || scheme === '' || !this.#hasPath || !hasAuthority) return false;
    if (protocol !== '' && method !== 'CONNECT') return false;
    if (scheme !== 'http' && scheme !== 'https') return true;
    return path.charCodeAt(0) === 47 || (path === '*' && method === 'OPTIONS');
  }
}
