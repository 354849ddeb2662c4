/**
 * `local_reply_config`: mappers and body formats for the answers that the proxy makes itself.
 *
 * Source: Envoy's local reply; the first mapper whose filter accepts the reply changes it, then a format makes the body.
 */
import type { BodyFormat, LocalReplyModel } from '../config/model/http-connection-manager.ts';
import { HeaderEdits } from '../router/header-edits.ts';
import { type AccessLogPredicate, compileAccessLogFilter } from '../telemetry/access-log-filter.ts';
import type { FormatContext } from '../telemetry/format-operator.ts';
import { type CompiledFormat, compileLogFormat } from '../telemetry/formatter.ts';
import { toByteText } from '../telemetry/json-text.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import type { HeaderMap } from './header-map.ts';
import type { ReplyContent, ReplyRewriter } from './local-reply.ts';

interface BodyFormatter {
  readonly format: CompiledFormat;
  readonly contentType: string;
}

interface Mapper {
  readonly accepts: AccessLogPredicate;
  readonly status: number | null;
  readonly body: string | null;
  readonly formatter: BodyFormatter | null;
  readonly edits: HeaderEdits;
}

function compileBodyFormat(model: BodyFormat | null): BodyFormatter | null {
  return model === null ? null : { format: compileLogFormat(model.format), contentType: model.contentType };
}

export class LocalReplyRewrite {
  readonly #mappers: readonly Mapper[];
  readonly #formatter: BodyFormatter | null;

  constructor(model: LocalReplyModel) {
    this.#formatter = compileBodyFormat(model.bodyFormat);
    this.#mappers = model.mappers.map(({ filter, status, body, bodyFormat, headers }) => ({
      accepts: compileAccessLogFilter(filter),
      status,
      body: body === null ? null : toByteText(body),
      formatter: compileBodyFormat(bodyFormat),
      edits: new HeaderEdits(headers, []),
    }));
  }

  /** For the reply to one request; null headers: it has none. */
  rewriterOf(requestHeaders: HeaderMap | null, info: StreamInfo): ReplyRewriter {
    return (content, headers) => this.apply(content, headers, requestHeaders, info);
  }

  /** `headers` are those of the reply so far; a mapper may edit them. */
  apply(content: ReplyContent, headers: HeaderMap, requestHeaders: HeaderMap | null, info: StreamInfo): ReplyContent {
    // Filters and formats ask for the status of the reply.
    info.responseCode = content.status;
    const context: FormatContext = { info, requestHeaders, responseHeaders: headers, responseTrailers: null };
    const mapper = this.#mappers.find(each => each.accepts(context));
    const { status, body } = mapper === undefined ? content : this.#map(mapper, content, context, headers);
    const formatter = mapper?.formatter ?? this.#formatter;
    if (formatter === null) return { status, body, contentType: content.contentType };
    return { status, body: formatter.format.format({ ...context, localReplyBody: body }), contentType: formatter.contentType };
  }

  #map(mapper: Mapper, content: ReplyContent, context: FormatContext, headers: HeaderMap): { status: number; body: string } {
    mapper.edits.apply(headers, context);
    const status = mapper.status ?? content.status;
    headers.status = status;
    context.info.responseCode = status;
    return { status, body: mapper.body ?? content.body };
  }
}
