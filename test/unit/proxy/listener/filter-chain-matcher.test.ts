import t from 'tap';
import type { FilterChainMatch } from '../../../../proxy/config/model/listener.ts';
import { FilterChainMatcher } from '../../../../proxy/listener/filter-chain-matcher.ts';
import { ConnectionRecord } from '../../../../proxy/network/connection-record.ts';
import { anyMatch } from '../../../support/worker-listener.ts';

interface Peer {
  local?: [string, number];
  remote?: [string, number];
  sni?: string;
  transport?: string;
  alpn?: string[];
}

function find(chains: { [name: string]: Partial<FilterChainMatch> }, peer: Peer, fallback: string | null = null): string | null {
  const [localIp, localPort] = peer.local ?? ['10.0.0.1', 80];
  const [remoteIp, remotePort] = peer.remote ?? ['10.0.0.2', 40_000];
  const info = new ConnectionRecord(
    { kind: 'socket', address: localIp, port: localPort },
    { kind: 'socket', address: remoteIp, port: remotePort },
  );
  info.requestedServerName = peer.sni ?? '';
  info.transportProtocol = peer.transport ?? 'raw_buffer';
  info.requestedApplicationProtocols = peer.alpn ?? [];
  const list = Object.entries(chains).map(([value, match]) => ({ value, match: { ...anyMatch, ...match } }));
  return new FilterChainMatcher(list, fallback).find(info);
}

t.test('the destination port decides first, and does not come back', async t => {
  const chains = { port: { destinationPort: 80, transportProtocol: 'tls' }, any: {} };
  t.equal(find(chains, { transport: 'tls' }), 'port');
  t.equal(find(chains, {}), null, 'a plain connection to port 80 has no chain');
  t.equal(find(chains, {}, 'default'), 'default');
  t.equal(find(chains, { local: ['10.0.0.1', 81] }), 'any');
});

t.test('the longest prefix of the destination wins', async t => {
  const range = (address: string, prefixLength: number) => ({ prefixRanges: [{ address, prefixLength }] });
  const chains = { host: range('10.0.0.1', 32), net: range('10.0.0.0', 8), v6: range('fd00::', 16), any: {} };
  t.equal(find(chains, {}), 'host');
  t.equal(find(chains, { local: ['10.1.2.3', 80] }), 'net');
  t.equal(find(chains, { local: ['fd00::1', 80] }), 'v6');
  t.equal(find(chains, { local: ['192.168.0.1', 80] }), 'any');
});

t.test('server names: exact, then the longest suffix, then none', async t => {
  const chains = { exact: { serverNames: ['a.b.c'] }, near: { serverNames: ['*.b.c'] }, far: { serverNames: ['*.c'] }, none: {} };
  t.equal(find(chains, { sni: 'a.b.c' }), 'exact');
  t.equal(find(chains, { sni: 'x.b.c' }), 'near');
  t.equal(find(chains, { sni: 'x.y.b.c' }), 'near');
  t.equal(find(chains, { sni: 'x.c' }), 'far');
  t.equal(find(chains, { sni: 'b.x' }), 'none');
  t.equal(find(chains, {}), 'none');
});

t.test('the matrix of a permissive Istio port', async t => {
  const chains = {
    mtlsHttp: { transportProtocol: 'tls', applicationProtocols: ['istio-http/1.0', 'istio-http/1.1', 'istio-h2'] },
    http: { transportProtocol: 'raw_buffer', applicationProtocols: ['http/1.1', 'h2c'] },
    mtlsTcp: { transportProtocol: 'tls', applicationProtocols: ['istio-peer-exchange', 'istio'] },
    tcp: { transportProtocol: 'raw_buffer' },
    tls: { transportProtocol: 'tls' },
  };
  t.equal(find(chains, { transport: 'tls', alpn: ['istio-http/1.1', 'istio'] }), 'mtlsHttp');
  t.equal(find(chains, { transport: 'tls', alpn: ['istio'] }), 'mtlsTcp');
  t.equal(find(chains, { transport: 'tls', alpn: ['h2'] }), 'tls');
  t.equal(find(chains, { alpn: ['http/1.1'] }), 'http');
  t.equal(find(chains, { alpn: ['http/1.0'] }), 'tcp');
  t.equal(find(chains, {}), 'tcp');
});

t.test('sources: type, range and port', async t => {
  const chains = {
    port: { sourcePrefixRanges: [{ address: '10.0.0.0', prefixLength: 24 }], sourcePorts: [40_000] },
    range: { sourcePrefixRanges: [{ address: '10.0.0.0', prefixLength: 24 }] },
    local: { sourceType: 'same-ip-or-loopback' as const },
  };
  t.equal(find(chains, {}), 'port');
  t.equal(find(chains, { remote: ['10.0.0.2', 1] }), 'range');
  t.equal(find(chains, { remote: ['127.0.0.1', 1] }), 'local');
  t.equal(find(chains, { remote: ['10.0.0.1', 1] }), 'local');
  t.equal(find(chains, { remote: ['192.168.0.1', 1] }), null);
});
