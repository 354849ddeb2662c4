/** Answers that the proxy makes itself: plain text, or trailers-only gRPC for a gRPC request. */
import type { LocalReply } from './filter.ts';
import { HeaderMap } from './header-map.ts';
import { grpcStatusOf } from './status-text.ts';

/** `application/grpc` and its subtypes. */
export function isGrpcContentType(value: string | undefined): boolean {
  return value?.startsWith('application/grpc') === true && (value.length === 16 || value[16] === '+' || value[16] === ';');
}

export interface RenderedReply {
  readonly headers: HeaderMap;
  /** Empty: the headers end the response. */
  readonly body: string;
}

/** Percent-encodes what a grpc-message may not hold. */
export function encodeGrpcMessage(message: string): string {
  return Buffer.from(message, 'utf8')
    .toString('latin1')
    .replace(/[^ -$&-~]/g, byte => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
}

/** Makes the response to a request of this kind, as it came: filters may have changed its headers since. */
export function renderLocalReply(reply: LocalReply, isGrpc: boolean, isHead: boolean): RenderedReply {
  const headers = new HeaderMap();
  headers.status = reply.status;
  // Before the headers of the body, so that they stand where Envoy puts them.
  reply.modifyHeaders?.(headers);
  if (isGrpc) {
    headers.status = 200;
    headers.set('content-type', 'application/grpc');
    headers.set('grpc-status', String(reply.grpcStatus ?? grpcStatusOf(reply.status)));
    if (reply.body !== '' && !isHead) headers.set('grpc-message', encodeGrpcMessage(reply.body));
    return { headers, body: '' };
  }
  if (reply.body !== '') {
    headers.set('content-length', String(Buffer.byteLength(reply.body)));
    if (!headers.has('content-type')) headers.add('content-type', 'text/plain');
  }
  return { headers, body: isHead ? '' : reply.body };
}
