/** `stats.PluginConfig` of the HTTP and network filters `istio.stats`. */
import type { protos } from '../../../../../protos/messages.ts';
import { defineHttpFilter } from '../../../../config/compile/extension.ts';
import { classify } from '../../../../config/compile/field-table.ts';
import { durationMs } from '../../../../config/compile/scalars.ts';
import type { CompileScope } from '../../../../config/compile/scope.ts';
import { parseCel } from '../../../../telemetry/cel/parser.ts';
import type { IstioStatsModel } from '../../../../telemetry/istio/model.ts';

const defaultReportingMs = 5000;
const types = ['counter', 'gauge', 'histogram'] as const;

/** An expression that is not understood gives `unknown`, as one that fails does. */
function checkExpression(expression: string, path: string, scope: CompileScope): string {
  try {
    parseCel(expression);
  } catch (error) {
    scope.warn(path, `expression '${expression}' always gives 'unknown': ${(error as Error).message}`);
  }
  return expression;
}

/** Shared with the network filter. */
export function compileIstioStats(message: protos.stats.PluginConfig, path: string, scope: CompileScope): IstioStatsModel {
  return {
    reporter: message.reporter === 1 ? 'server-gateway' : 'by-direction',
    disableHostHeaderFallback: message.disable_host_header_fallback,
    tcpReportingDurationMs: durationMs(message.tcp_reporting_duration, defaultReportingMs, `${path}.tcp_reporting_duration`),
    metrics: message.metrics.map((metric, i) => ({
      name: metric.name,
      drop: metric.drop,
      tagsToRemove: metric.tags_to_remove,
      dimensions: Object.keys(metric.dimensions)
        .sort()
        .map(tag => ({
          tag,
          expression: checkExpression(metric.dimensions[tag], `${path}.metrics[${i}].dimensions["${tag}"]`, scope),
        })),
    })),
    definitions: message.definitions.map((definition, i) => ({
      name: definition.name,
      value: checkExpression(definition.value, `${path}.definitions[${i}].value`, scope),
      type: types[definition.type],
    })),
  };
}

const rotation = 'counters of past label values are kept until the process ends';

export const istioStatsFields = {
  'stats.PluginConfig': classify({
    implemented: 'disable_host_header_fallback tcp_reporting_duration metrics definitions reporter',
    ignored: {
      debug: 'the original ignores it',
      max_peer_cache_size: 'the original ignores it',
      stat_prefix: 'the original ignores it',
      field_separator: 'the original ignores it',
      value_separator: 'the original ignores it',
      rotation_interval: rotation,
      graceful_deletion_interval: rotation,
    },
  }),
  'stats.MetricConfig': classify({
    implemented: 'dimensions name tags_to_remove drop',
    ignored: { match: 'the original ignores it' },
  }),
  'stats.MetricDefinition': classify({ implemented: 'name value type' }),
};

export const istioStatsHttpFilter = defineHttpFilter({
  kind: 'istio.stats',
  message: 'stats.PluginConfig',
  compile: compileIstioStats,
  fields: istioStatsFields,
});
