/** Answers that the proxy makes itself: plain text, or trailers-only gRPC for a gRPC request. */
import { toByteText } from '../telemetry/json-text.ts';
import type { LocalReply } from './filter.ts';
import { HeaderMap } from './header-map.ts';
import { grpcStatusOf } from './status-text.ts';

/** `application/grpc` and its subtypes. */
export function isGrpcContentType(value: string | undefined): boolean {
  return value?.startsWith('application/grpc') === true && (value.length === 16 || value[16] === '+' || value[16] === ';');
}

export const requestTooLarge: LocalReply = {
  status: 413,
  body: 'Payload Too Large',
  details: 'request_payload_too_large',
  flags: 0,
  grpcStatus: null,
};

export const responseTooLarge: LocalReply = {
  status: 500,
  body: 'Internal Server Error',
  details: 'response_payload_too_large',
  flags: 0,
  grpcStatus: null,
};

/** What of a reply, besides its headers, configuration may change. */
export interface ReplyContent {
  readonly status: number;
  /** Bytes, as latin1. */
  readonly body: string;
  readonly contentType: string;
}

/** Changes a reply; `headers` are those it has so far. */
export type ReplyRewriter = (content: ReplyContent, headers: HeaderMap) => ReplyContent;

export interface RenderedReply {
  readonly headers: HeaderMap;
  /** Bytes, as latin1. Empty: the headers end the response. */
  readonly body: string;
}

/** Percent-encodes the bytes that a grpc-message may not hold. */
export function encodeGrpcMessage(bytes: string): string {
  return bytes.replace(/[^ -$&-~]/g, byte => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
}

/** Makes the response to a request of this kind, as it came: filters may have changed its headers since. */
export function renderLocalReply(
  reply: LocalReply,
  isGrpc: boolean,
  isHead: boolean,
  rewrite: ReplyRewriter | null = null,
): RenderedReply {
  const headers = new HeaderMap();
  headers.status = reply.status;
  // Before the headers of the body, so that they stand where Envoy puts them.
  reply.modifyHeaders?.(headers);
  const type = headers.get('content-type');
  const made: ReplyContent = { status: reply.status, body: toByteText(reply.body), contentType: 'text/plain' };
  const content = rewrite === null ? made : rewrite(made, headers);
  if (isGrpc) return renderGrpc(headers, reply.grpcStatus ?? grpcStatusOf(content.status), content, isHead);
  const { body } = content;
  if (body === '') {
    headers.remove('content-length');
    headers.remove('content-type');
    return { headers, body };
  }
  headers.set('content-length', String(body.length));
  // Another body is of another type, unless the configuration has named one.
  const isOther = body !== made.body && headers.get('content-type') === type;
  if (isOther || !headers.has('content-type')) headers.set('content-type', content.contentType);
  return { headers, body: isHead ? '' : body };
}

/** Trailers alone: status and message stand in the headers. */
function renderGrpc(headers: HeaderMap, grpcStatus: number, { body, contentType }: ReplyContent, isHead: boolean): RenderedReply {
  headers.status = 200;
  headers.set('content-type', 'application/grpc');
  if (!headers.has('grpc-status')) headers.add('grpc-status', String(grpcStatus));
  const message = contentType === 'application/json' ? body.replace(/\n$/, '') : body;
  if (message !== '' && !isHead) headers.set('grpc-message', encodeGrpcMessage(message));
  headers.remove('content-length');
  return { headers, body: '' };
}
