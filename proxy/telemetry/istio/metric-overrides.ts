/** Labels dropped, replaced and added, and metrics dropped and defined, by configuration (the Telemetry API). */
import type { NodeModel } from '../../http/filter.ts';
import { createAttributes } from '../cel/attributes.ts';
import type { CelExpression } from '../cel/cel.ts';
import { compileCel, printCelValue } from '../cel/cel.ts';
import type { FormatContext } from '../format-operator.ts';
import type { Tag } from '../stats-store.ts';
import type { IstioStatsModel, MetricDefinitionModel, MetricOverrideModel } from './model.ts';

/** Standard metrics by the names that overrides use. */
export const standardMetrics = [
  'requests_total',
  'request_duration_milliseconds',
  'request_bytes',
  'response_bytes',
  'request_messages_total',
  'response_messages_total',
  'tcp_connections_opened_total',
  'tcp_connections_closed_total',
  'tcp_sent_bytes_total',
  'tcp_received_bytes_total',
] as const;
export type StandardMetric = (typeof standardMetrics)[number];

const workloadLabels = [
  'workload',
  'workload_namespace',
  'principal',
  'app',
  'version',
  'canonical_service',
  'canonical_revision',
  'cluster',
];

/** Labels that every standard metric may have. */
const standardTags: ReadonlySet<string> = new Set([
  'reporter',
  ...workloadLabels.map(label => `source_${label}`),
  ...workloadLabels.map(label => `destination_${label}`),
  'destination_service',
  'destination_service_name',
  'destination_service_namespace',
  'request_protocol',
  'response_flags',
  'connection_security_policy',
  'response_code',
  'grpc_response_status',
]);

interface MetricRules {
  dropped: boolean;
  /** Index of an expression, or null: the label is removed. */
  readonly replaced: Map<string, number | null>;
  readonly added: [tag: string, expression: number][];
}

/** Values of all expressions for one stream. */
export type ExpressionValues = readonly unknown[];

const noValues: ExpressionValues = [];

export class MetricOverrides {
  readonly definitions: readonly MetricDefinitionModel[];
  readonly #expressions: CelExpression[] = [];
  readonly #ids = new Map<string, number>();
  readonly #rules = new Map<string, MetricRules>();
  readonly #node: NodeModel;

  constructor(model: IstioStatsModel, node: NodeModel) {
    this.#node = node;
    this.definitions = model.definitions.filter(({ name }) => !(standardMetrics as readonly string[]).includes(name));
    for (const { value } of this.definitions) this.#intern(value);
    for (const metric of model.metrics) this.#add(metric);
  }

  /** False: labels do not depend on expressions. */
  get hasExpressions(): boolean {
    return this.#expressions.length > 0;
  }

  isDropped(metric: StandardMetric): boolean {
    return this.#rules.get(metric)?.dropped ?? false;
  }

  evaluate(context: FormatContext): ExpressionValues {
    if (this.#expressions.length === 0) return noValues;
    const attributes = createAttributes(context, this.#node);
    return this.#expressions.map(expression => expression(attributes));
  }

  /** A metric's labels after the configured changes. */
  applyTo(metric: string, tags: readonly Tag[], values: ExpressionValues): readonly Tag[] {
    const rules = this.#rules.get(metric);
    if (rules === undefined) return tags;
    const changed: Tag[] = [];
    for (const tag of tags) {
      const replacement = rules.replaced.get(tag[0]);
      if (replacement === undefined) changed.push(tag);
      else if (replacement !== null) changed.push([tag[0], printOrUnknown(values[replacement])]);
    }
    for (const [tag, expression] of rules.added) changed.push([tag, printOrUnknown(values[expression])]);
    return changed;
  }

  /** The amount of a defined metric; 0 if its expression gives no number. */
  amountOf(definition: MetricDefinitionModel, values: ExpressionValues): number {
    const amount = Number(printCelValue(values[this.#intern(definition.value)]));
    return Number.isInteger(amount) && amount > 0 ? amount : 0;
  }

  #intern(text: string): number {
    let id = this.#ids.get(text);
    if (id === undefined) {
      id = this.#expressions.push(compileOrFail(text)) - 1;
      this.#ids.set(text, id);
    }
    return id;
  }

  #rulesOf(metric: string): MetricRules {
    let rules = this.#rules.get(metric);
    if (rules === undefined) {
      rules = { dropped: false, replaced: new Map(), added: [] };
      this.#rules.set(metric, rules);
    }
    return rules;
  }

  #add(metric: MetricOverrideModel): void {
    const standard = standardMetrics.filter(name => metric.name === '' || metric.name === name);
    if (metric.drop) {
      if (metric.name !== '') for (const name of standard) this.#rulesOf(name).dropped = true;
      return;
    }
    for (const name of standard) {
      for (const tag of metric.tagsToRemove) if (standardTags.has(tag)) this.#rulesOf(name).replaced.set(tag, null);
    }
    const custom = this.definitions.map(({ name }) => name).filter(name => metric.name === '' || metric.name === name);
    for (const { tag, expression } of metric.dimensions) {
      const id = this.#intern(expression);
      for (const name of standard) {
        if (standardTags.has(tag)) this.#rulesOf(name).replaced.set(tag, id);
        else this.#rulesOf(name).added.push([tag, id]);
      }
      for (const name of custom) this.#rulesOf(name).added.push([tag, id]);
    }
  }
}

function printOrUnknown(value: unknown): string {
  return printCelValue(value) ?? 'unknown';
}

/** An expression that cannot be compiled is one that always fails. */
function compileOrFail(text: string): CelExpression {
  try {
    return compileCel(text);
  } catch {
    return () => undefined;
  }
}
