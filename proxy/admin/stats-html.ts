/** Metrics as a plain page. Names and values are escaped: they may hold what a client sent. */
import { escapeHtml } from './home.ts';
import type { HistogramDisplay, MetricStream } from './stats.ts';
import { collectByKind, formatValue } from './stats-text.ts';

export function* renderStatsHtml(metrics: MetricStream, display: HistogramDisplay): Generator<string> {
  yield "<!DOCTYPE html>\n<html lang='en'>\n<head><title>Envoy Admin</title></head>\n<body>\n<pre>\n";
  const { readouts, numbers, histograms } = yield* collectByKind(metrics);
  for (const section of [readouts, numbers, histograms]) {
    for (const metric of section.sorted()) yield `${escapeHtml(`${metric.name}: ${formatValue(metric, display)}`)}\n`;
  }
  yield '</pre>\n</body>\n</html>\n';
}
