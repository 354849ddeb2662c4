/** Access loggers of a listener, TCP proxy or connection manager. */
import type { FractionalPercent, HeaderMatcher } from './matchers.ts';

export type AccessLogModel = FileAccessLogModel | InertAccessLogModel;

export interface FileAccessLogModel {
  readonly kind: 'file';
  readonly path: string;
  readonly format: AccessLogFormat;
  readonly filter: AccessLogFilter | null;
}

/** A sink that is not implemented: accepted, counted, without effect. */
export interface InertAccessLogModel {
  readonly kind: 'inert';
  readonly name: string;
}

export type AccessLogFormat =
  | { readonly kind: 'text'; readonly format: string; readonly omitEmpty: boolean }
  /** Keys in their order of output; a leaf is a format string. */
  | { readonly kind: 'json'; readonly fields: JsonFormat; readonly omitEmpty: boolean };

export type JsonFormat = { readonly [key: string]: string | number | boolean | null | JsonFormat };

export type AccessLogFilter =
  | { readonly kind: 'status' | 'duration'; readonly op: 'eq' | 'ge' | 'le' | 'ne'; readonly value: number }
  | { readonly kind: 'not-health-check' }
  | { readonly kind: 'traceable' }
  | { readonly kind: 'runtime'; readonly percent: FractionalPercent }
  | { readonly kind: 'and' | 'or'; readonly filters: readonly AccessLogFilter[] }
  | { readonly kind: 'header'; readonly header: HeaderMatcher }
  /** Empty flags: any flag. */
  | { readonly kind: 'response-flag'; readonly flags: readonly string[] }
  | { readonly kind: 'grpc-status'; readonly statuses: readonly number[]; readonly exclude: boolean }
  | { readonly kind: 'cel'; readonly expression: string };
