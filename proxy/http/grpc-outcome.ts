/** The gRPC status of a response: of its trailers, else of its headers, else what its HTTP status stands for. */
import { grpcStatusOfHttp } from '../telemetry/grpc-status.ts';
import type { HeaderMap } from './header-map.ts';
import { isGrpcContentType } from './local-reply.ts';

/** -1 if the request is not gRPC, if there is no response, and for a status that is no number. */
export function readGrpcStatus(
  requestHeaders: HeaderMap | null,
  responseHeaders: HeaderMap | null,
  responseTrailers: HeaderMap | null,
  responseCode: number,
): number {
  if (!isGrpcContentType(requestHeaders?.get('content-type'))) return -1;
  const text = responseTrailers?.get('grpc-status') ?? responseHeaders?.get('grpc-status');
  if (text !== undefined) return /^\d+$/.test(text) ? Number(text) : -1;
  return responseCode === 0 ? -1 : grpcStatusOfHttp(responseCode);
}
