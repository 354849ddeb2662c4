/** x-request-id: generated, and carrying the decision to trace in its 15th character. */
import { randomUUID } from 'node:crypto';
import type { HttpConnectionManagerModel } from '../config/model/http-connection-manager.ts';
import type { HeaderMap } from './header-map.ts';

export type TraceReason = 'not-traceable' | 'sampling' | 'service-forced' | 'client-forced';

const reasonPosition = 14;
const uuidLength = 36;
const reasonCharacters = { 'not-traceable': '4', sampling: '9', 'service-forced': 'a', 'client-forced': 'b' } as const;

/** Makes an id if there is none or an empty one, or at the edge, where foreign ids are not trusted unless configured. */
export function setRequestId(headers: HeaderMap, isEdge: boolean, model: HttpConnectionManagerModel): void {
  const present = headers.get('x-request-id');
  if (!present || (isEdge && !model.preserveExternalRequestId)) headers.set('x-request-id', randomUUID());
  else if (isEdge && model.requestId.packTraceReason) setTraceReason(headers, present, 'not-traceable');
}

function getTraceReason(id: string): TraceReason {
  if (id.length !== uuidLength) return 'not-traceable';
  switch (id[reasonPosition]) {
    case '9':
      return 'sampling';
    case 'a':
      return 'service-forced';
    case 'b':
      return 'client-forced';
    default:
      return 'not-traceable';
  }
}

function setTraceReason(headers: HeaderMap, id: string, reason: TraceReason): void {
  if (id.length !== uuidLength) return;
  headers.set('x-request-id', id.slice(0, reasonPosition) + reasonCharacters[reason] + id.slice(reasonPosition + 1));
}

/** Decides whether the request is traced and writes that into its id. `random` is 0 to 100 percent, drawn for a forced client. */
export function decideTracing(headers: HeaderMap, model: HttpConnectionManagerModel): TraceReason {
  const tracing = model.tracing;
  if (tracing === null) return 'not-traceable';
  if (!model.requestId.useForTraceSampling) return 'sampling';
  const id = headers.get('x-request-id');
  if (id === undefined || !/^[0-9A-Fa-f]{8}/.test(id)) return 'not-traceable';
  const point = (Number.parseInt(id.slice(0, 8), 16) % 10_000) / 100;
  const before = getTraceReason(id);
  let reason = before;
  if (reason === 'not-traceable') {
    if (headers.has('x-client-trace-id') && Math.random() * 100 < tracing.clientSampling) reason = 'client-forced';
    else if (headers.has('x-envoy-force-trace')) reason = 'service-forced';
    else if (point < tracing.randomSampling) reason = 'sampling';
  }
  if (reason !== 'not-traceable' && point >= tracing.overallSampling) reason = 'not-traceable';
  if (reason !== before && model.requestId.packTraceReason) setTraceReason(headers, id, reason);
  return reason;
}
