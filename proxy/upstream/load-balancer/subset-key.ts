/** Which subsets a host belongs to, and how a subset is named: by its keys and their values, in the order of the keys. */
import type { SubsetSelectorModel, SubsetsModel } from '../../config/model/cluster.ts';
import type { Metadata } from '../../config/model/matchers.ts';

/** The metadata that subsets are about. */
export const subsetNamespace = 'envoy.lb';

export type SubsetCriteria = { readonly [key: string]: unknown };

/** Equal for equal values of equal keys, in whatever order they are given. */
export function describeSubset(criteria: SubsetCriteria): string {
  return describeValue(criteria);
}

function describeValue(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(describeValue).join()}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, part]) => `${JSON.stringify(key)}:${describeValue(part)}`).join()}}`;
}

/** The subsets of a host by the selectors whose keys it has; with `listAsAny` a list stands for each of its values. */
export function* listSubsetsOfHost(
  metadata: Metadata,
  { selectors, listAsAny }: SubsetsModel,
): Iterable<{ readonly key: string; readonly selector: SubsetSelectorModel }> {
  const values = metadata[subsetNamespace];
  if (values === undefined) return;
  for (const selector of selectors) {
    if (!selector.keys.every(key => Object.hasOwn(values, key))) continue;
    let all: SubsetCriteria[] = [{}];
    for (const key of selector.keys) {
      const value = values[key];
      const choices = listAsAny && Array.isArray(value) ? value : [value];
      all = all.flatMap(criteria => choices.map(choice => ({ ...criteria, [key]: choice })));
    }
    for (const criteria of all) yield { key: describeSubset(criteria), selector };
  }
}

/** True if the metadata has all values of `wanted`. */
export function hasValues(metadata: Metadata, wanted: SubsetCriteria, listAsAny: boolean): boolean {
  const values = metadata[subsetNamespace] ?? {};
  return Object.entries(wanted).every(([key, value]) => {
    if (!Object.hasOwn(values, key)) return false;
    const own = values[key];
    const choices = listAsAny && Array.isArray(own) ? own : [own];
    return choices.some(choice => describeValue(choice) === describeValue(value));
  });
}
