/**
 * Header mutations of the levels of a route, compiled once: what does not depend on the request is a constant. On each level
 * removals come first, then replacements, then additions.
 *
 * Source: Envoy, `HeaderValueOption` and the header parser of its router.
 */
import type { HeaderMutations, HeaderValueOption } from '../config/model/route.ts';
import type { HeaderMap } from '../http/header-map.ts';
import { internHeaderName } from '../http/header-name.ts';
import { compileFormat } from '../telemetry/formatter.ts';
import type { CompiledFormat, FormatContext } from '../telemetry/formatter.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';

interface Edit {
  readonly name: string;
  readonly value: CompiledFormat;
  readonly action: HeaderValueOption['action'];
  readonly keepEmpty: boolean;
}

/** The edits of one level in one direction. */
export class HeaderEdits {
  readonly #removals: readonly string[];
  readonly #edits: readonly Edit[];

  constructor(additions: readonly HeaderValueOption[], removals: readonly string[]) {
    this.#removals = removals.map(internHeaderName);
    this.#edits = additions.map(({ name, value, action, keepEmpty }) => ({
      name: internHeaderName(name),
      value: compileFormat(value, { omitEmpty: true }),
      action,
      keepEmpty,
    }));
  }

  get isEmpty(): boolean {
    return this.#removals.length === 0 && this.#edits.length === 0;
  }

  /** Edits `headers`, which are those of the request or of the response in `context`. */
  apply(headers: HeaderMap, context: FormatContext): void {
    for (const name of this.#removals) headers.remove(name);
    if (this.#edits.length === 0) return;
    const replacements: string[] = [];
    const additions: string[] = [];
    for (const edit of this.#edits) {
      const value = edit.value.format(context);
      if (value === '' && !edit.keepEmpty) continue;
      if (edit.action === 'append') additions.push(edit.name, value);
      else if (edit.action === 'overwrite-or-add') replacements.push(edit.name, value);
      else if (headers.has(edit.name) === (edit.action === 'overwrite-if-exists')) {
        (edit.action === 'add-if-absent' ? additions : replacements).push(edit.name, value);
      }
    }
    for (let i = 0; i < replacements.length; i += 2) setHeader(headers, replacements[i], replacements[i + 1]);
    for (let i = 0; i < additions.length; i += 2) headers.add(additions[i], additions[i + 1]);
  }
}

function setHeader(headers: HeaderMap, name: string, value: string): void {
  if (name === ':authority' || name === 'host') headers.authority = value;
  else if (name === ':path') headers.path = value;
  else if (name === ':method') headers.method = value;
  else if (name === ':scheme') headers.scheme = value;
  else {
    // What replaces a header stands at the end, as in Envoy.
    headers.remove(name);
    headers.add(name, value);
  }
}

/** All levels of one route in one direction, in the order of evaluation. */
export class LeveledHeaderEdits {
  readonly #levels: readonly HeaderEdits[];

  /** `levels` from the most to the least specific; a weighted cluster's always come first. */
  constructor(levels: readonly HeaderEdits[]) {
    this.#levels = levels.filter(level => !level.isEmpty);
  }

  apply(headers: HeaderMap, info: StreamInfo, requestHeaders: HeaderMap, responseHeaders: HeaderMap | null): void {
    if (this.#levels.length === 0) return;
    const context: FormatContext = { info, requestHeaders, responseHeaders, responseTrailers: null };
    for (const level of this.#levels) level.apply(headers, context);
  }
}

/** Compiles one level's mutations. */
export function compileRequestEdits(mutations: HeaderMutations): HeaderEdits {
  return new HeaderEdits(mutations.requestAdd, mutations.requestRemove);
}

export function compileResponseEdits(mutations: HeaderMutations): HeaderEdits {
  return new HeaderEdits(mutations.responseAdd, mutations.responseRemove);
}
