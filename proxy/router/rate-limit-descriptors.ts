/**
 * `rate_limits` of a route, a virtual host or a filter: descriptors of a request.
 *
 * Source: Envoy's RateLimitPolicyImpl; entries are the actions' in order, and an action without a value makes no descriptor.
 */
import type { RateLimitAction, RateLimitModel } from '../config/model/rate-limit.ts';
import type { HeaderMap } from '../http/header-map.ts';
import { internHeaderName } from '../http/header-name.ts';
import { compileHeaderMatchers } from '../matching/header-matcher.ts';
import { toByteText } from '../telemetry/json-text.ts';
import { maskAddress } from '../telemetry/network-text.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import { compileQueryMatchers } from './route-predicate.ts';

/** What actions look at. */
export interface DescribedRequest {
  readonly headers: HeaderMap;
  readonly info: StreamInfo;
  /** Of the node, and of the route. */
  readonly sourceCluster: string;
  readonly destinationCluster: string;
}

type Entry = readonly [key: string, value: string];
/** Undefined: there is no entry, and the descriptor goes on without it. Null: there is no descriptor. */
type EntryMaker = (request: DescribedRequest) => Entry | undefined | null;

/** Descriptors are equal if their texts are: header values hold no NUL. */
export function formatDescriptor(entries: readonly Entry[]): string {
  return entries.map(([key, value]) => `${key}\0${value}\0`).join('');
}

export class RateLimitPolicy {
  readonly #limits: readonly { readonly stage: number; readonly makers: readonly EntryMaker[] }[];

  constructor(models: readonly RateLimitModel[]) {
    this.#limits = models
      .filter(({ disableKey }) => disableKey === '')
      .map(({ stage, actions }) => ({ stage, makers: actions.map(compileAction) }));
  }

  /** Appends the descriptors of a request, as texts. */
  describe(request: DescribedRequest, stage: number, descriptors: string[]): void {
    for (const limit of this.#limits) {
      if (limit.stage !== stage) continue;
      const entries = makeEntries(limit.makers, request);
      if (entries !== null) descriptors.push(formatDescriptor(entries));
    }
  }
}

function makeEntries(makers: readonly EntryMaker[], request: DescribedRequest): Entry[] | null {
  const entries: Entry[] = [];
  for (const make of makers) {
    const entry = make(request);
    if (entry === null) return null;
    if (entry !== undefined) entries.push(entry);
  }
  return entries;
}

function compileAction(action: RateLimitAction): EntryMaker {
  switch (action.kind) {
    case 'source-cluster':
      return ({ sourceCluster }) => ['source_cluster', sourceCluster];
    case 'destination-cluster':
      return ({ destinationCluster }) => ['destination_cluster', destinationCluster];
    case 'remote-address':
      return ({ info }) => {
        const { remoteAddress } = info.downstream;
        return remoteAddress.kind === 'socket' ? ['remote_address', remoteAddress.address] : null;
      };
    case 'masked-remote-address':
      return ({ info }) => {
        const { remoteAddress } = info.downstream;
        if (remoteAddress.kind !== 'socket') return null;
        const bits = remoteAddress.address.includes(':') ? action.v6Bits : action.v4Bits;
        return ['masked_remote_address', maskAddress(remoteAddress.address, bits)];
      };
    case 'generic-key': {
      const entry: Entry = [action.key, toByteText(action.value)];
      return () => entry;
    }
    case 'request-header': {
      const name = internHeaderName(action.header);
      return ({ headers }) => {
        const value = readHeader(headers, name);
        return value === undefined ? (action.skipIfAbsent ? undefined : null) : [action.key, value];
      };
    }
    case 'header-match': {
      const accepts = compileHeaderMatchers(action.headers);
      const entry: Entry = [action.key, toByteText(action.value)];
      return ({ headers }) => ((accepts === null || accepts(headers)) === action.expectMatch ? entry : null);
    }
    case 'query-match': {
      const accepts = compileQueryMatchers(action.queryParameters);
      const entry: Entry = [action.key, toByteText(action.value)];
      return ({ headers }) => (accepts(headers.path) === action.expectMatch ? entry : null);
    }
    case 'metadata':
      return request => {
        const value = readMetadata(request.info, action) || action.defaultValue;
        return value === '' ? (action.skipIfAbsent ? undefined : null) : [action.key, toByteText(value)];
      };
  }
}

function readHeader(headers: HeaderMap, name: string): string | undefined {
  switch (name) {
    case ':path':
      return headers.path || undefined;
    case ':method':
      return headers.method || undefined;
    case ':authority':
    case 'host':
      return headers.authority || undefined;
    case ':scheme':
      return headers.scheme || undefined;
    default:
      return headers.get(name);
  }
}

function readMetadata(info: StreamInfo, action: Extract<RateLimitAction, { kind: 'metadata' }>): string {
  const metadata = action.source === 'route' ? info.route?.metadata : info.dynamicMetadata;
  let value: unknown = metadata?.[action.namespace];
  for (const key of action.path) {
    if (value === null || typeof value !== 'object') return '';
    value = (value as { readonly [key: string]: unknown })[key];
  }
  return typeof value === 'string' ? value : '';
}
