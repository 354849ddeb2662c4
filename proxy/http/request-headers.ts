/** What the connection manager does to request headers before any filter sees them. The order of additions is Envoy's. */
import type { HttpConnectionManagerModel } from '../config/model/http-connection-manager.ts';
import type { ConnectionInfo, TlsInfo } from '../network/connection.ts';
import { applyClientCert } from './forwarded-client-cert.ts';
import { compileInternalAddresses, isLoopback, lastAddressOf, readOwnAddress } from './forwarded-for.ts';
import { hasToken } from './h1/connection-header.ts';
import type { HeaderMap } from './header-map.ts';
import { setRequestId } from './request-id.ts';

/** Removed from every request that is not internal. */
const internalOnly = new Set(
  (
    'x-envoy-retriable-status-codes x-envoy-retriable-header-names x-envoy-retry-on x-envoy-retry-grpc-on x-envoy-max-retries ' +
    'x-envoy-upstream-alt-stat-name x-envoy-upstream-rq-timeout-ms x-envoy-upstream-rq-per-try-timeout-ms ' +
    'x-envoy-upstream-rq-timeout-alt-response x-envoy-expected-rq-timeout-ms x-envoy-force-trace x-envoy-ip-tags ' +
    'x-envoy-original-url x-envoy-hedge-on-per-try-timeout'
  ).split(' '),
);
/** Also removed at the edge. */
const trustedInside = ['x-envoy-decorator-operation', 'x-envoy-downstream-service-cluster', 'x-envoy-downstream-service-node'];
const hopByHop = new Set(['keep-alive', 'proxy-connection', 'transfer-encoding', 'x-envoy-internal']);

/** Whether a message asks for, or grants, an upgrade. */
export function isUpgrade(headers: HeaderMap): boolean {
  const connection = headers.get('connection');
  return connection !== undefined && hasToken(connection, 'upgrade') && headers.has('upgrade');
}

export class RequestHeaderEdits {
  readonly #model: HttpConnectionManagerModel;
  readonly #isInternalAddress: (address: string) => boolean;

  constructor(model: HttpConnectionManagerModel) {
    this.#model = model;
    this.#isInternalAddress = compileInternalAddresses(model.internalAddresses);
  }

  /**
   * Edits the headers of one request.
   * @returns the client's address if headers name another than the connection's, else null.
   */
  apply(headers: HeaderMap, info: ConnectionInfo, describeCert: (tls: TlsInfo) => string): string | null {
    const model = this.#model;
    const isTls = info.tls !== null;
    removeHopByHop(headers);
    const { address, isSingle } = model.useRemoteAddress
      ? this.#takePeerAddress(headers, info, isTls)
      : this.#readForwardedFor(headers);
    if (!headers.has('x-forwarded-proto')) headers.add('x-forwarded-proto', isTls ? 'https' : 'http');
    if (model.appendXForwardedPort && !headers.has('x-forwarded-port')) addForwardedPort(headers, info);
    if (model.via !== '') headers.has('via') ? appendVia(headers, model.via) : headers.add('via', model.via);
    const isInternal = isSingle && address !== null && this.#isInternalAddress(address);
    const isEdge = !isInternal && model.useRemoteAddress;
    if (isInternal) headers.add('x-envoy-internal', 'true');
    else removeInternalOnly(headers, isEdge);
    if (isEdge && address !== null) headers.set('x-envoy-external-address', address);
    if (model.generateRequestId) setRequestId(headers, isEdge, model);
    applyClientCert(headers, info.tls, model.forwardClientCert, describeCert);
    setScheme(headers, model, isTls);
    return address === null || (info.remoteAddress.kind === 'socket' && info.remoteAddress.address === address) ? null : address;
  }

  /** Trusts the connection: its peer is appended to x-forwarded-for. */
  #takePeerAddress(headers: HeaderMap, info: ConnectionInfo, isTls: boolean): { address: string | null; isSingle: boolean } {
    const model = this.#model;
    const before = headers.getJoined('x-forwarded-for');
    const peer = info.remoteAddress.kind === 'socket' ? info.remoteAddress.address : null;
    let address: string | null = null;
    if (model.xffNumTrustedHops > 0 && before !== undefined) {
      address = lastAddressOf(before, model.xffNumTrustedHops - 1)?.address ?? null;
    }
    address ??= peer;
    if (!model.skipXffAppend && peer !== null) {
      headers.append('x-forwarded-for', isLoopback(info.remoteAddress) ? readOwnAddress() : peer);
    }
    const isTrusted = model.xffNumTrustedHops > 0;
    if (!isTrusted || !headers.has('x-forwarded-proto')) headers.set('x-forwarded-proto', isTls ? 'https' : 'http');
    if (model.appendXForwardedPort && !isTrusted) {
      headers.remove('x-forwarded-port');
      addForwardedPort(headers, info);
    }
    return { address, isSingle: before === undefined };
  }

  #readForwardedFor(headers: HeaderMap): { address: string | null; isSingle: boolean } {
    const value = headers.getJoined('x-forwarded-for');
    const found = value === undefined ? null : lastAddressOf(value, this.#model.xffNumTrustedHops);
    return found ?? { address: null, isSingle: false };
  }
}

function removeHopByHop(headers: HeaderMap): void {
  const keepsUpgrade = isUpgrade(headers);
  const entries = headers.entries;
  let kept = 0;
  for (let i = 0; i < entries.length; i += 2) {
    const name = entries[i];
    if (hopByHop.has(name) || (!keepsUpgrade && (name === 'connection' || name === 'upgrade'))) continue;
    if (name === 'te' && !keepsUpgrade) {
      if (!acceptsTrailers(entries[i + 1])) continue;
      if (entries[i + 1] !== '') entries[i + 1] = 'trailers';
    }
    if (kept !== i) {
      entries[kept] = name;
      entries[kept + 1] = entries[i + 1];
    }
    kept += 2;
  }
  entries.length = kept;
}

/** An empty value says nothing and stays. */
function acceptsTrailers(te: string): boolean {
  return te === '' || te === 'trailers' || te.split(',').some(coding => coding.trim() === 'trailers');
}

function removeInternalOnly(headers: HeaderMap, isEdge: boolean): void {
  const entries = headers.entries;
  for (let i = entries.length - 2; i >= 0; i -= 2) {
    const name = entries[i];
    if (name.startsWith('x-envoy-') && (internalOnly.has(name) || (isEdge && trustedInside.includes(name)))) entries.splice(i, 2);
  }
}

function addForwardedPort(headers: HeaderMap, info: ConnectionInfo): void {
  if (info.localAddress.kind === 'socket') headers.add('x-forwarded-port', String(info.localAddress.port));
}

function appendVia(headers: HeaderMap, via: string): void {
  headers.set('via', `${headers.getJoined('via')}, ${via}`);
}

function readScheme(text = ''): 'http' | 'https' | null {
  const scheme = text.toLowerCase();
  return scheme === 'http' || scheme === 'https' ? scheme : null;
}

/** Where `:scheme` is none of HTTP's it follows x-forwarded-proto if that is one, then the connection. */
function setScheme(headers: HeaderMap, model: HttpConnectionManagerModel, isTls: boolean): void {
  if (model.schemeOverwrite !== null) headers.scheme = model.schemeOverwrite;
  else if (headers.scheme !== 'http' && headers.scheme !== 'https') {
    headers.scheme = readScheme(headers.scheme) ?? readScheme(headers.get('x-forwarded-proto')) ?? (isTls ? 'https' : 'http');
  }
}
