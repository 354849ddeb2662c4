/** What happens to a request's headers before the first attempt: timeouts, header edits, host and path. */
import type { HeaderMap } from '../http/header-map.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import type { RouterModel } from '../extensions/filters/http/router/config.ts';
import { readTimeouts, writeTimeoutHeaders } from './request-timeout.ts';
import type { RequestTimeouts } from './request-timeout.ts';
import { rewriteHost } from './rewrite.ts';
import { findPathEnd } from './route-predicate.ts';
import type { ForwardEntry, RouteEntry } from './route-entry.ts';

/** Reads the timeouts of a request and writes those the upstream is told. */
export function prepareTimeouts(action: ForwardEntry, headers: HeaderMap, model: RouterModel, isGrpc: boolean): RequestTimeouts {
  const retry = action.retryPolicy?.model;
  const timeouts = readTimeouts(
    action.model,
    retry?.perTryTimeoutMs ?? 0,
    retry?.perTryIdleTimeoutMs ?? 0,
    readHedging(action, headers),
    headers,
    isGrpc,
    model.respectExpectedRequestTimeout,
  );
  writeTimeoutHeaders(headers, timeouts, action.model, 0, isGrpc, !model.suppressEnvoyHeaders);
  return timeouts;
}

/** Whether an attempt that is slow goes on beside its retry: as the request asks, else as the route or its virtual host says. */
function readHedging(action: ForwardEntry, headers: HeaderMap): boolean {
  const asked = headers.get('x-envoy-hedge-on-per-try-timeout');
  if (asked === undefined) return action.hedgesOnPerTryTimeout;
  headers.remove('x-envoy-hedge-on-per-try-timeout');
  return asked === 'true' || (asked !== 'false' && action.hedgesOnPerTryTimeout);
}

/** Tells the upstream of the attempts before, if the virtual host says so; `isAfterTimeout` null: there are none. */
export function writeAttemptHeaders(
  headers: HeaderMap,
  { virtualHost }: RouteEntry,
  attemptCount: number,
  isAfterTimeout: boolean | null,
): void {
  if (virtualHost.includeRequestAttemptCount) headers.set('x-envoy-attempt-count', String(attemptCount));
  if (isAfterTimeout !== null && virtualHost.includesTimeoutRetryHeader) {
    headers.set('x-envoy-is-timeout-retry', String(isAfterTimeout));
  }
}

/** Edits headers, then host, then path, as the route says. */
export function finalizeRequestHeaders(
  entry: RouteEntry,
  action: ForwardEntry,
  headers: HeaderMap,
  info: StreamInfo,
  insertsOriginal: boolean,
): void {
  entry.requestEdits.apply(headers, info, headers, null);
  const { appendXForwardedHost } = action.model;
  if (action.weightedHost !== '') rewriteHost(headers, action.weightedHost, appendXForwardedHost, false);
  else if (action.rewriteHost !== null) rewriteHost(headers, action.rewriteHost(headers), appendXForwardedHost, insertsOriginal);
  const path = rewritePath(action, headers, info);
  if (path !== '') replacePath(headers, path, insertsOriginal);
}

/** Empty: the path stays as it is. */
function rewritePath({ rewritePath, pathFormat }: ForwardEntry, headers: HeaderMap, info: StreamInfo): string {
  if (rewritePath !== null) return rewritePath(headers.path);
  if (pathFormat === null) return '';
  const path = pathFormat.format({ info, requestHeaders: headers, responseHeaders: null, responseTrailers: null });
  return path === '' ? '' : path + headers.path.slice(findPathEnd(headers.path));
}

/** Keeps the path of before in a header of its own. */
export function replacePath(headers: HeaderMap, path: string, insertsOriginal: boolean): void {
  if (insertsOriginal) headers.set('x-envoy-original-path', headers.path);
  headers.path = path;
}
