/** Interfaces of access logging; file-access-log.ts and the formatter implement them. */
import type { AccessLogModel } from '../config/model/access-log.ts';
import type { HeaderMap } from '../http/header-map.ts';
import type { StreamInfo } from './stream-info.ts';

/** One compiled access logger: filter, format and sink. */
export interface AccessLogger {
  /** Header maps are null for TCP, response parts also when there was no response. */
  log(
    info: StreamInfo,
    requestHeaders: HeaderMap | null,
    responseHeaders: HeaderMap | null,
    responseTrailers: HeaderMap | null,
  ): void;
}

/** Worker-wide: makes loggers that share one buffered file per path. */
export interface AccessLogWriter {
  create(models: readonly AccessLogModel[]): readonly AccessLogger[];
  /** Writes everything that is buffered, synchronously: at exit and on request. */
  flush(): void;
  reopen(): void;
}
