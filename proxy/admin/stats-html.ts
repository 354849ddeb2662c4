/** Metrics as a plain page. Names and values are escaped: they may hold what a client sent. */
import type { MetricSnapshot } from '../telemetry/stats-merger.ts';
import { escapeHtml } from './home.ts';
import type { HistogramDisplay } from './stats.ts';
import { formatValue, splitByKind } from './stats-text.ts';

export function* renderStatsHtml(metrics: readonly MetricSnapshot[], display: HistogramDisplay): Generator<string> {
  yield "<!DOCTYPE html>\n<html lang='en'>\n<head><title>Envoy Admin</title></head>\n<body>\n<pre>\n";
  for (const section of splitByKind(metrics)) {
    for (const metric of section) yield `${escapeHtml(`${metric.name}: ${formatValue(metric, display)}`)}\n`;
  }
  yield '</pre>\n</body>\n</html>\n';
}
