/** Metrics in the order in which Envoy shows them. */
import type { MergedMetric } from './merged-metric.ts';

/** Envoy compares names token by token: '.' sorts before every character. */
const sortKey = (name: string): string => name.replaceAll('.', '\0');

export function sortNames(names: Iterable<string>): string[] {
  return sortBy([...names], name => name);
}

export function sortMetrics(metrics: readonly MergedMetric[]): MergedMetric[] {
  return sortBy(metrics, ({ name }) => name);
}

function sortBy<T>(items: readonly T[], nameOf: (item: T) => string): T[] {
  const keyed = items.map(item => ({ key: sortKey(nameOf(item)), item }));
  keyed.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  return keyed.map(({ item }) => item);
}

/** The first two tokens of a name: what has them in common is together in the order. */
function groupOf(name: string): string {
  const first = name.indexOf('.');
  const second = first === -1 ? -1 : name.indexOf('.', first + 1);
  return second === -1 ? name : name.slice(0, second);
}

/** Collects metrics, and gives them in order without one long sort. */
export class MetricOrder {
  readonly #groups = new Map<string, MergedMetric[]>();

  add(metric: MergedMetric): void {
    const group = groupOf(metric.name);
    const known = this.#groups.get(group);
    if (known === undefined) this.#groups.set(group, [metric]);
    else known.push(metric);
  }

  get isEmpty(): boolean {
    return this.#groups.size === 0;
  }

  *sorted(): Generator<MergedMetric> {
    for (const group of sortNames(this.#groups.keys())) yield* sortMetrics(this.#groups.get(group) as MergedMetric[]);
  }
}
