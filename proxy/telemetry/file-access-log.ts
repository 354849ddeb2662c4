/** The access loggers of one worker: compiled formats and filters over log files that loggers of the same path share. */
import type { TimerWheel } from '../../common/timer-wheel.ts';
import { Logger } from '../../common/log.ts';
import type { AccessLogModel, FileAccessLogModel } from '../config/model/access-log.ts';
import type { HeaderMap } from '../http/header-map.ts';
import type { AccessLogger, AccessLogWriter } from './access-log.ts';
import type { AccessLogPredicate } from './access-log-filter.ts';
import { compileAccessLogFilter } from './access-log-filter.ts';
import type { CompiledFormat } from './formatter.ts';
import { compileLogFormat } from './formatter.ts';
import { LogFile } from './log-file.ts';
import type { StreamInfo } from './stream-info.ts';

const log = new Logger('file');

export interface FileAccessLogOptions {
  readonly timers: TimerWheel;
  readonly flushIntervalMs: number;
  readonly flushMinBytes: number;
}

class FileAccessLogger implements AccessLogger {
  readonly #file: LogFile;
  readonly #format: CompiledFormat;
  readonly #filter: AccessLogPredicate | null;

  constructor(file: LogFile, model: FileAccessLogModel) {
    const { format } = model;
    this.#file = file;
    this.#format = compileLogFormat(format);
    this.#filter = model.filter === null ? null : compileAccessLogFilter(model.filter);
  }

  log(
    info: StreamInfo,
    requestHeaders: HeaderMap | null,
    responseHeaders: HeaderMap | null,
    responseTrailers: HeaderMap | null,
  ): void {
    const context = { info, requestHeaders, responseHeaders, responseTrailers };
    if (this.#filter !== null && !this.#filter(context)) return;
    this.#file.write(this.#format.format(context));
  }
}

export class FileAccessLogs implements AccessLogWriter {
  readonly #options: FileAccessLogOptions;
  readonly #files = new Map<string, LogFile>();

  constructor(options: FileAccessLogOptions) {
    this.#options = options;
  }

  create(models: readonly AccessLogModel[]): readonly AccessLogger[] {
    return models.filter(model => model.kind === 'file').map(model => new FileAccessLogger(this.#ensureFile(model.path), model));
  }

  flush(): void {
    for (const file of this.#files.values()) file.flush();
  }

  reopen(): void {
    for (const file of this.#files.values()) file.reopen();
  }

  close(): void {
    for (const file of this.#files.values()) file.close();
    this.#files.clear();
  }

  #ensureFile(path: string): LogFile {
    let file = this.#files.get(path);
    if (file === undefined) {
      file = new LogFile(path, { ...this.#options, onError: message => log.error(message) });
      this.#files.set(path, file);
    }
    return file;
  }
}
