/** The match of a route, compiled into one predicate over path, headers and stream info. */
import type { FractionalPercent, QueryParameterMatcher, ValueMatcher } from '../config/model/matchers.ts';
import type { MetadataMatcher, RouteMatch } from '../config/model/route.ts';
import type { HeaderMap } from '../http/header-map.ts';
import { compileHeaderMatchers } from '../matching/header-matcher.ts';
import { compileRegex, toHeaderText } from '../matching/regex.ts';
import type { TextPredicate } from '../matching/regex.ts';
import { compileStringMatcher, toAsciiLowerCase } from '../matching/string-matcher.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';

/** `path` is the path without query and fragment. */
export type RoutePredicate = (path: string, headers: HeaderMap, info: StreamInfo) => boolean;

/** Where the query or the fragment begins; the length if there is neither. */
export function findPathEnd(pathAndQuery: string): number {
  const query = pathAndQuery.indexOf('?');
  const fragment = pathAndQuery.indexOf('#');
  if (query === -1) return fragment === -1 ? pathAndQuery.length : fragment;
  return fragment === -1 ? query : Math.min(query, fragment);
}

const pathParameters = /;[^/]*/g;

/** What of a path routes match: it has no query, and with `ignoresParameters` no segment has parameters. */
export function readMatchedPath(pathAndQuery: string, ignoresParameters: boolean): string {
  const path = pathAndQuery.slice(0, findPathEnd(pathAndQuery));
  return ignoresParameters && path.includes(';') ? path.replace(pathParameters, '') : path;
}

function compilePathMatch(model: RouteMatch['path']): TextPredicate | null {
  if (model.kind === 'connect') return null;
  if (model.kind === 'regex') return compileRegex(model.value);
  const value = toHeaderText(model.value);
  const separated = model.kind === 'path-separated-prefix';
  const accepts: TextPredicate =
    model.kind === 'exact'
      ? path => path === value
      : separated
        ? path => path.startsWith(value) && (path.length === value.length || path.charCodeAt(value.length) === 0x2f)
        : value === '/' || value === ''
          ? path => path.startsWith(value)
          : path => path.startsWith(value);
  if (!model.ignoreCase) return accepts;
  return compileIgnoringCase(model.kind, toAsciiLowerCase(value));
}

function compileIgnoringCase(kind: 'prefix' | 'exact' | 'path-separated-prefix', value: string): TextPredicate {
  return text => {
    const path = toAsciiLowerCase(text);
    if (kind === 'exact') return path === value;
    if (!path.startsWith(value)) return false;
    return kind === 'prefix' || path.length === value.length || path.charCodeAt(value.length) === 0x2f;
  };
}

/** Query parameters of a path as they stand: split at '&' and '=', the first of a name wins. */
export function parseQuery(pathAndQuery: string): Map<string, string> {
  const parameters = new Map<string, string>();
  const start = pathAndQuery.indexOf('?');
  if (start === -1) return parameters;
  const fragment = pathAndQuery.indexOf('#', start);
  const query = pathAndQuery.slice(start + 1, fragment === -1 ? undefined : fragment);
  for (const pair of query.split('&')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = equals === -1 ? pair : pair.slice(0, equals);
    if (!parameters.has(name)) parameters.set(name, equals === -1 ? '' : pair.slice(equals + 1));
  }
  return parameters;
}

/** True for a path (with query) whose parameters every matcher accepts. */
export function compileQueryMatchers(models: readonly QueryParameterMatcher[]): TextPredicate {
  const matchers = models.map(({ name, match, present }) => ({
    name,
    present,
    accepts: match === null ? null : compileStringMatcher(match),
  }));
  return pathAndQuery => {
    const parameters = parseQuery(pathAndQuery);
    for (const { name, present, accepts } of matchers) {
      const value = parameters.get(name);
      if (accepts === null ? (value !== undefined) !== present : value === undefined || !accepts(value)) return false;
    }
    return true;
  };
}

function readMetadata(info: StreamInfo, matcher: MetadataMatcher): unknown {
  let value: unknown = info.dynamicMetadata?.[matcher.namespace];
  for (const key of matcher.path) {
    if (value === null || typeof value !== 'object') return undefined;
    value = (value as { readonly [key: string]: unknown })[key];
  }
  return value;
}

/** Compiles a value matcher into a predicate over plain JSON; undefined is a missing value. */
export function compileValueMatcher(model: ValueMatcher): (value: unknown) => boolean {
  switch (model.kind) {
    case 'null':
      return value => value === null;
    case 'present':
      return value => (value !== undefined && value !== null) === model.value;
    case 'bool':
    case 'number':
      return value => value === model.value;
    case 'range':
      return value => typeof value === 'number' && value >= model.start && value < model.end;
    case 'string': {
      const accepts = compileStringMatcher(model.match);
      return value => typeof value === 'string' && accepts(toHeaderText(value));
    }
    case 'list': {
      const accepts = compileValueMatcher(model.oneOf);
      return value => Array.isArray(value) && value.some(accepts);
    }
    case 'or': {
      const alternatives = model.matchers.map(compileValueMatcher);
      return value => alternatives.some(accepts => accepts(value));
    }
  }
}

function compileMetadata(models: readonly MetadataMatcher[]): RoutePredicate {
  const matchers = models.map(model => ({ model, accepts: compileValueMatcher(model.value) }));
  return (_path, _headers, info) => matchers.every(({ model, accepts }) => accepts(readMetadata(info, model)) !== model.invert);
}

/** The stream's unsigned 32 random bits, drawn at first use: every choice of one stream falls the same way. */
export function readRouteRandom(info: StreamInfo): number {
  if (info.routeRandom < 0) info.routeRandom = Math.floor(Math.random() * 0x1_0000_0000);
  return info.routeRandom;
}

/** True for the streams that fall within the fraction. */
export function isWithinFraction(fraction: FractionalPercent, random: number): boolean {
  return random % fraction.denominator < fraction.numerator;
}

function isGrpcRequest(headers: HeaderMap): boolean {
  const type = headers.get('content-type');
  return type !== undefined && (type === 'application/grpc' || type.startsWith('application/grpc+'));
}

/** Compiles the whole match; the cheapest and most selective test comes first. */
export function compileRoutePredicate(model: RouteMatch): RoutePredicate {
  const acceptsPath = compilePathMatch(model.path);
  const others: RoutePredicate[] = [];
  const { grpc, runtimeFraction } = model;
  if (runtimeFraction !== null) {
    others.push((_path, _headers, info) => isWithinFraction(runtimeFraction, readRouteRandom(info)));
  }
  if (grpc) others.push((_path, headers) => isGrpcRequest(headers));
  const acceptsHeaders = compileHeaderMatchers(model.headers);
  if (acceptsHeaders !== null) others.push((_path, headers) => acceptsHeaders(headers));
  if (model.queryParameters.length > 0) {
    const acceptsQuery = compileQueryMatchers(model.queryParameters);
    others.push((_path, headers) => acceptsQuery(headers.path));
  }
  if (model.dynamicMetadata.length > 0) others.push(compileMetadata(model.dynamicMetadata));
  const { clientCertificate } = model;
  if (clientCertificate !== undefined)
    others.push((_path, _headers, { downstream }) => acceptsClient(clientCertificate, downstream.tls));
  if (acceptsPath === null) return (path, headers, info) => headers.method === 'CONNECT' && all(others, path, headers, info);
  // A CONNECT without path is for CONNECT routes only.
  if (others.length === 0) return (path, headers) => acceptsPath(path) && headers.path !== '';
  return (path, headers, info) => acceptsPath(path) && headers.path !== '' && all(others, path, headers, info);
}

function acceptsClient(
  { presented, validated }: NonNullable<RouteMatch['clientCertificate']>,
  tls: StreamInfo['downstream']['tls'],
): boolean {
  if (presented !== null && presented !== (tls?.peerCertificatePresented ?? false)) return false;
  return validated === null || validated === (tls?.peerCertificateValidated ?? false);
}

function all(predicates: readonly RoutePredicate[], path: string, headers: HeaderMap, info: StreamInfo): boolean {
  for (const predicate of predicates) if (!predicate(path, headers, info)) return false;
  return true;
}
