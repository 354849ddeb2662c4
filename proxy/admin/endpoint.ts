/** The shape of an admin endpoint. */
import type { AdminContext } from './admin-context.ts';

export interface AdminRequest {
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: { readonly [name: string]: string | string[] | undefined };
  readonly body: string;
}

export interface AdminResponse {
  readonly status: number;
  readonly contentType: string;
  /** In pieces, between which the server lets other work run. */
  readonly body: string | Iterable<string>;
}

export interface AdminEndpoint {
  readonly path: string;
  readonly help: string;
  /** Changes something: only POST is allowed. */
  readonly mutates: boolean;
  readonly parameters: readonly (readonly [name: string, help: string])[];
  handle(request: AdminRequest, context: AdminContext): AdminResponse;
}

export const textType = 'text/plain; charset=UTF-8';
export const jsonType = 'application/json';

export function textResponse(body: string | Iterable<string>, status = 200): AdminResponse {
  return { status, contentType: textType, body };
}

export function jsonResponse(body: string | Iterable<string>): AdminResponse {
  return { status: 200, contentType: jsonType, body };
}

export const okResponse = textResponse('OK\n');
