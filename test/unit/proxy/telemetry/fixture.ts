/** Streams and stats for tests of telemetry. */
import type { Address } from '../../../../proxy/config/model/address.ts';
import { HeaderMap } from '../../../../proxy/http/header-map.ts';
import type { ConnectionInfo } from '../../../../proxy/network/connection.ts';
import { StatsMerger } from '../../../../proxy/telemetry/stats-merger.ts';
import { defaultHistogramBounds } from '../../../../proxy/telemetry/stats-matcher.ts';
import { StatsStore } from '../../../../proxy/telemetry/stats-store.ts';
import { StreamInfo } from '../../../../proxy/telemetry/stream-info.ts';
import { TagExtractor } from '../../../../proxy/telemetry/tag-extractor.ts';

export function socketAddress(address: string, port: number): Address {
  return { kind: 'socket', address, port };
}

export function makeConnectionInfo(overrides: Partial<ConnectionInfo> = {}): ConnectionInfo {
  return {
    id: 7,
    localAddress: socketAddress('10.0.0.1', 80),
    directLocalAddress: socketAddress('10.0.0.1', 15006),
    localAddressRestored: true,
    remoteAddress: socketAddress('::1', 4000),
    directRemoteAddress: socketAddress('::1', 4000),
    originalSource: null,
    requestedServerName: '',
    requestedApplicationProtocols: [],
    transportProtocol: 'raw_buffer',
    tls: null,
    startTimeMs: 0,
    transportFailureReason: '',
    listenerName: 'virtualInbound',
    filterChainName: 'chain',
    ...overrides,
  };
}

/** Began on 2026-01-02T03:04:05.678Z, monotonic 1000. */
export function makeStreamInfo(connection: Partial<ConnectionInfo> = {}): StreamInfo {
  return new StreamInfo(makeConnectionInfo(connection), Date.UTC(2026, 0, 2, 3, 4, 5, 678), 1000);
}

export function makeRequestHeaders(entries: { readonly [name: string]: string } = {}): HeaderMap {
  const headers = new HeaderMap();
  headers.method = 'GET';
  headers.path = '/p?a=b&c=d';
  headers.authority = 'svc.ns:80';
  headers.scheme = 'http';
  for (const [name, value] of Object.entries(entries)) headers.add(name, value);
  return headers;
}

/** A certificate with one URI, and a TLS connection that used it for both sides. */
export function makeTls(peerUri: string, localUri: string, alpn = ''): ConnectionInfo['tls'] {
  const certificate = (uri: string) => ({
    uriSans: [uri],
    dnsSans: ['a.example', 'b.example'],
    subject: 'CN=x',
    issuer: 'CN=ca',
    serialNumber: '0AFF',
    sha256: 'ab12',
    pemChain: '',
    pem: 'PEM',
    validFromMs: Date.UTC(2026, 0, 1),
    validToMs: Date.UTC(2027, 0, 1),
  });
  return {
    version: 'TLSv1.3',
    cipher: 'TLS_AES_128_GCM_SHA256',
    alpn,
    serverName: 'sni.example',
    resumed: false,
    sessionId: '',
    peerCertificateValidated: true,
    peerCertificatePresented: true,
    peer: certificate(peerUri),
    local: certificate(localUri),
  };
}

export function makeStats(isIncluded: (name: string) => boolean = () => true): { merger: StatsMerger; store: StatsStore } {
  const histogramBounds = () => defaultHistogramBounds;
  const merger = new StatsMerger({ tagExtractor: new TagExtractor({ useAllDefaultTags: false, tags: [] }), histogramBounds });
  return { merger, store: new StatsStore({ isIncluded, sink: merger.createSink() }) };
}
