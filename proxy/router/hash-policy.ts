/**
 * Hash policies of a route: what makes requests of one client go to one host.
 *
 * Source: Envoy's `RouteAction.HashPolicy`; hashes are xxHash64 with seed 0, combined by rotating.
 */
import type { HashPolicy } from '../config/model/route.ts';
import { findCookie, formatSetCookie } from '../http/cookies.ts';
import type { HeaderMap } from '../http/header-map.ts';
import { internHeaderName } from '../http/header-name.ts';
import { compileReplacement } from '../matching/regex.ts';
import type { ConnectionInfo } from '../network/connection.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import { hashText } from '../upstream/load-balancer/xxhash64.ts';
import { parseQuery } from './route-predicate.ts';

/** What a request's policies gave. */
export interface RequestHash {
  readonly hash: bigint;
  /** Values of `set-cookie` that the response must carry, for cookies that the policy generated. */
  readonly cookies: readonly string[];
}

export type HashPolicyList = (headers: HeaderMap, info: StreamInfo) => RequestHash | null;
type Policy = (headers: HeaderMap, info: StreamInfo, cookies: string[]) => bigint | null;

/** As Envoy makes them: the hash of both addresses and the time, in hex. */
function generateCookie(policy: Extract<HashPolicy, { kind: 'cookie' }>, downstream: ConnectionInfo): [string, string] {
  const seed = `${JSON.stringify(downstream.remoteAddress)}${JSON.stringify(downstream.localAddress)}${process.hrtime.bigint()}`;
  const value = hashText(seed).toString(16).padStart(16, '0');
  return [value, formatSetCookie(policy, value)];
}

function compilePolicy(policy: HashPolicy): Policy {
  switch (policy.kind) {
    case 'header': {
      const name = internHeaderName(policy.name);
      const rewrite = policy.rewrite ? compileReplacement(policy.rewrite.pattern, policy.rewrite.substitution) : null;
      return headers => {
        if (name === ':authority' || name === 'host') return headers.authority === '' ? null : hashText(headers.authority);
        if (name === ':path') return hashText(headers.path);
        const present = headers.getAll(name);
        if (present.length === 0) return null;
        const values = rewrite === null ? present : present.map(rewrite);
        // The order of repeated headers must not matter.
        return hashText(values.length === 1 ? values[0] : values.sort().join(''));
      };
    }
    case 'cookie':
      return (headers, { downstream }, cookies) => {
        const value = findCookie(headers, policy.name);
        if (value !== null && value !== '') return hashText(value);
        if (policy.ttlMs === null) return null;
        const [generated, cookie] = generateCookie(policy, downstream);
        cookies.push(cookie);
        return hashText(generated);
      };
    case 'source-ip':
      return (_headers, { downstream }) => {
        const address = downstream.remoteAddress;
        return address.kind === 'socket' ? hashText(address.address) : null;
      };
    case 'filter-state':
      return (_headers, info) => {
        const value = info.getFilterState(policy.key);
        return typeof value === 'string' ? hashText(value) : null;
      };
    case 'query-parameter':
      return headers => {
        const value = parseQuery(headers.path).get(policy.name);
        return value === undefined ? null : hashText(value);
      };
  }
}

/** Compiles the list, or null if it is empty. */
export function compileHashPolicies(models: readonly HashPolicy[]): HashPolicyList | null {
  if (models.length === 0) return null;
  const policies = models.map(model => ({ terminal: model.terminal, compute: compilePolicy(model) }));
  return (headers, info) => {
    let combined: bigint | null = null;
    const cookies: string[] = [];
    for (const { terminal, compute } of policies) {
      const hash = compute(headers, info, cookies);
      if (hash !== null) {
        const rotated: bigint = combined === null ? 0n : BigInt.asUintN(64, (combined << 1n) | (combined >> 63n));
        combined = rotated ^ hash;
      }
      if (terminal && combined !== null) break;
    }
    return combined === null ? null : { hash: combined, cookies };
  };
}
