/** What every command operator of a format string shares. */
import type { HeaderMap } from '../http/header-map.ts';
import type { StreamInfo } from './stream-info.ts';

/** What a line is made from. Header maps are null where there are none (TCP, no response). */
export interface FormatContext {
  readonly info: StreamInfo;
  readonly requestHeaders: HeaderMap | null;
  readonly responseHeaders: HeaderMap | null;
  readonly responseTrailers: HeaderMap | null;
}

/** Null: the value is missing. */
export type FormatValue = string | number | boolean | object | null;
export type Operator = (context: FormatContext) => FormatValue;

/** A format string that is not valid; compile code turns it into a ConfigError with a field path. */
export class FormatError extends Error {}
