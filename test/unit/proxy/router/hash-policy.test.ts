import t from 'tap';
import type { HashPolicy } from '../../../../proxy/config/model/route.ts';
import { compileHashPolicies } from '../../../../proxy/router/hash-policy.ts';
import { hashText } from '../../../../proxy/upstream/load-balancer/xxhash64.ts';
import { StreamInfo } from '../../../../proxy/telemetry/stream-info.ts';
import { makeConnectionInfo, makeRequest } from './route-models.ts';

const info = new StreamInfo(makeConnectionInfo(), 0, 0);

function hash(policies: readonly HashPolicy[], headers: Record<string, string>, path = '/') {
  return compileHashPolicies(policies)?.(makeRequest('GET', 'h', path, headers), info) ?? null;
}

t.test('header, query parameter and source address hash their text', async t => {
  t.equal(hash([{ kind: 'header', name: 'X-User', terminal: false }], { 'x-user': 'u' })?.hash, hashText('u'));
  t.equal(hash([{ kind: 'header', name: 'x-user', terminal: false }], {}), null);
  t.equal(hash([{ kind: 'query-parameter', name: 'k', terminal: false }], {}, '/?k=v')?.hash, hashText('v'));
  t.equal(hash([{ kind: 'source-ip', terminal: false }], {})?.hash, hashText('10.0.0.9'));
});

t.test('filter state is hashed where it is a text', async t => {
  const policy = { kind: 'filter-state', key: 'hashed', terminal: false } as const;
  t.equal(hash([policy], {}), null);
  info.setFilterState('hashed', 'text');
  t.equal(hash([policy], {})?.hash, hashText('text'));
});

t.test('a cookie is used, or made if it may live', async t => {
  const cookie = {
    kind: 'cookie',
    name: 'c',
    path: '/p',
    attributes: [{ name: 'SameSite', value: 'Lax' }],
    terminal: false,
  } as const;
  t.equal(hash([{ ...cookie, ttlMs: 1000 }], { cookie: 'a=b; c="v"' })?.hash, hashText('v'));
  t.equal(hash([{ ...cookie, ttlMs: null }], {}), null);
  const made = hash([{ ...cookie, ttlMs: 60_000 }], {});
  t.match(made?.cookies[0], /^c="[0-9a-f]{16}"; Max-Age=60; Path=\/p; SameSite=Lax; HttpOnly$/);
});

t.test('policies combine by rotation, a terminal one ends', async t => {
  const a = { kind: 'header', name: 'a', terminal: false } as const;
  const b = { kind: 'header', name: 'b', terminal: false } as const;
  const first = hashText('1');
  const rotated = BigInt.asUintN(64, (first << 1n) | (first >> 63n));
  t.equal(hash([a, b], { a: '1', b: '2' })?.hash, rotated ^ hashText('2'));
  t.equal(hash([{ ...a, terminal: true }, b], { a: '1', b: '2' })?.hash, first);
});
