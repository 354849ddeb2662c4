/** `/config_dump`: the configuration in force, entry by entry, so that a thousand clusters do not stop the event loop. */
import { type JsonObject, stringifyJson } from '../../protos/json-writer.ts';
import type { TextPredicate } from '../matching/regex.ts';
import type { AdminContext } from './admin-context.ts';
import {
  bootstrapSection,
  clustersSection,
  type DumpList,
  type DumpSection,
  endpointsSection,
  extensionsSection,
  listenersSection,
  routesSection,
  scopedRoutesSection,
  secretsSection,
} from './config-dump-sections.ts';
import type { AdminRequest, AdminResponse } from './endpoint.ts';
import { jsonResponse } from './endpoint.ts';
import { applyMask, type FieldMask, isMaskOf, parseMask } from './field-mask.ts';
import { parseFilter } from './name-filter.ts';

const adminPackage = 'envoy.admin.v3';

function failure(status: number, body: string): AdminResponse {
  return { status, contentType: 'text/plain', body };
}

/** In Envoy's order; extensions only if there are some. */
function listSections(context: AdminContext, includeEds: boolean): DumpSection[] {
  const hasExtensions = [...context.resources.list('extension')].length > 0;
  return [
    bootstrapSection(context),
    clustersSection(context),
    ...(includeEds ? [endpointsSection(context)] : []),
    listenersSection(context),
    scopedRoutesSection(),
    routesSection(context),
    secretsSection(context),
    ...(hasExtensions ? [extensionsSection(context)] : []),
  ];
}

export function handleConfigDump({ query }: AdminRequest, context: AdminContext): AdminResponse {
  const filter = parseFilter(query.get('name_regex'), true);
  if ('error' in filter) {
    return failure(400, `INVALID_ARGUMENT: Error while parsing name_regex from ${query.get('name_regex')}: ${filter.error}`);
  }
  const includeEds = query.has('include_eds') && query.get('include_eds') !== 'false';
  const sections = listSections(context, includeEds);
  const mask = query.has('mask') ? parseMask(query.get('mask') as string) : null;
  const resource = query.get('resource');
  if (resource !== null) return dumpResource(sections, resource, mask, filter.matches);
  const shown = mask === null ? sections : sections.filter(({ type }) => isMaskOf(mask, `${adminPackage}.${type}`));
  if (shown.length === 0) {
    return failure(400, `FieldMask ${query.get('mask')} could not be successfully applied to any configs.`);
  }
  return jsonResponse(renderSections(shown, mask, filter.matches));
}

function dumpResource(
  sections: readonly DumpSection[],
  resource: string,
  mask: FieldMask | null,
  matches: TextPredicate | null,
): AdminResponse {
  for (const { fields, lists } of sections) {
    const list = lists.find(({ field }) => field === resource);
    if (list !== undefined) {
      if (mask !== null && !isMaskOf(mask, `${adminPackage}.${list.entryType}`)) {
        return failure(400, `FieldMask ${mask.map(path => path.join('.')).join(',')} could not be successfully used.`);
      }
      return jsonResponse(renderResource(list, mask, matches));
    }
    if (resource in fields) {
      return failure(400, `${resource} is not a repeated field. Use ?mask=${resource} to get only this field`);
    }
  }
  return failure(404, `${resource} not found in config dump`);
}

function* jsonEntries({ entries }: DumpList, matches: TextPredicate | null): Generator<JsonObject> {
  for (const entry of entries) {
    if (matches === null || matches(entry.name)) yield entry.toJson();
  }
}

function* renderResource(list: DumpList, mask: FieldMask | null, matches: TextPredicate | null): Generator<string> {
  let separator = '{\n "configs": [\n  ';
  let isEmpty = true;
  for (const json of jsonEntries(list, matches)) {
    const typed = { '@type': `type.googleapis.com/${adminPackage}.${list.entryType}`, ...json };
    yield separator + stringifyJson(mask === null ? typed : applyMask(typed, mask), 2);
    separator = ',\n  ';
    isEmpty = false;
  }
  yield isEmpty ? '{}\n' : '\n ]\n}\n';
}

function* renderSections(
  sections: readonly DumpSection[],
  mask: FieldMask | null,
  matches: TextPredicate | null,
): Generator<string> {
  let separator = '{\n "configs": [\n  ';
  for (const section of sections) {
    yield separator;
    yield* renderSection(section, mask, matches);
    separator = ',\n  ';
  }
  yield '\n ]\n}\n';
}

/** A section's own fields come before or behind its lists as their numbers say: all of them have lower ones. */
function* renderSection(section: DumpSection, mask: FieldMask | null, matches: TextPredicate | null): Generator<string> {
  const head = { '@type': `type.googleapis.com/${adminPackage}.${section.type}`, ...section.fields };
  const fields = mask === null ? head : applyMask(head, mask);
  // Without the closing brace.
  yield stringifyJson(fields, 2).slice(0, -'\n  }'.length);
  for (const list of section.lists) {
    const inner = mask?.filter(([name]) => name === list.field).map(path => path.slice(1));
    if (inner?.length === 0) continue;
    const isWhole = inner === undefined || inner.some(path => path.length === 0);
    let separator = `,\n   "${list.field}": [\n    `;
    let isEmpty = true;
    for (const json of jsonEntries(list, matches)) {
      yield separator + stringifyJson(isWhole ? json : applyMask(json, inner), 4);
      separator = ',\n    ';
      isEmpty = false;
    }
    if (!isEmpty) yield '\n   ]';
  }
  yield '\n  }';
}
