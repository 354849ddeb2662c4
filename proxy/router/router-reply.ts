/** Answers that the router makes itself, with the headers that it adds to every answer. */
import type { HttpFilterCallbacks } from '../http/filter.ts';
import type { HeaderMap } from '../http/header-map.ts';
import type { AccountedRequest } from './response-accounting.ts';
import type { RouteEntry } from './route-entry.ts';

export interface RouterReply {
  readonly status: number;
  readonly body: string;
  readonly details: string;
  /** Bits of ResponseFlag. */
  readonly flags: number;
  /** The request was dropped to shed load: the client may know. */
  readonly isDropped: boolean;
}

/** Tells the client how many attempts its request took, if the virtual host says so. */
function writeResponseAttemptCount(headers: HeaderMap, entry: RouteEntry, attemptCount: number): void {
  if (entry.virtualHost.includeAttemptCountInResponse) headers.set('x-envoy-attempt-count', String(attemptCount));
}

/** Completes the headers of an upstream's response; `elapsedMs` null: the request is still arriving. */
export function finalizeResponseHeaders(
  request: AccountedRequest,
  headers: HeaderMap,
  entry: RouteEntry,
  attemptCount: number,
  cookies: readonly string[],
  elapsedMs: number | null,
): void {
  const { info, config } = request;
  if (elapsedMs !== null && !config.model.suppressEnvoyHeaders) {
    headers.set('x-envoy-upstream-service-time', String(Math.floor(elapsedMs)));
  }
  writeResponseAttemptCount(headers, entry, attemptCount);
  for (const cookie of cookies) headers.add('set-cookie', cookie);
  info.responseCode = headers.status;
  info.responseCodeDetails = 'via_upstream';
  entry.responseEdits.apply(headers, info, request.headers, headers);
}

export function sendRouterReply(
  callbacks: HttpFilterCallbacks,
  reply: RouterReply,
  entry: RouteEntry,
  attemptCount: number,
  suppressesEnvoyHeaders: boolean,
): void {
  const { status, body, details, flags, isDropped } = reply;
  const { streamInfo, requestHeaders } = callbacks;
  callbacks.sendLocalReply({
    status,
    body,
    details,
    flags,
    grpcStatus: null,
    modifyHeaders: headers => {
      if (requestHeaders !== null) entry.responseEdits.apply(headers, streamInfo, requestHeaders, headers);
      if (isDropped && !suppressesEnvoyHeaders) headers.set('x-envoy-overloaded', 'true');
      writeResponseAttemptCount(headers, entry, attemptCount);
    },
  });
}
