/** What every command operator of a format string shares. */
import type { HeaderMap } from '../http/header-map.ts';
import { toByteText } from './json-text.ts';
import type { StreamInfo } from './stream-info.ts';

/** What a line is made from. Header maps are null where there are none (TCP, no response). */
export interface FormatContext {
  readonly info: StreamInfo;
  readonly requestHeaders: HeaderMap | null;
  readonly responseHeaders: HeaderMap | null;
  readonly responseTrailers: HeaderMap | null;
  /** Of a local reply that is being made, as bytes; absent in logs. */
  readonly localReplyBody?: string;
}

/** Null: the value is missing. */
export type FormatValue = string | number | boolean | object | null;
export type Operator = (context: FormatContext) => FormatValue;

/** What is between the parentheses, the length after the colon, and the operator's name for errors. */
export type OperatorFactory = (argument: string | null, maxLength: number | null, name: string) => Operator;

/** A format string that is not valid; compile code turns it into a ConfigError with a field path. */
export class FormatError extends Error {}

/** '' is a missing value. */
export function textOrNull(text: string | null | undefined): FormatValue {
  return text === undefined || text === null || text === '' ? null : toByteText(text);
}

export function ofInfo(read: (info: StreamInfo) => FormatValue): Operator {
  return context => read(context.info);
}
