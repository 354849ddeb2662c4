/** The results as one HTML page with plots, which loads nothing. */
import { type Bar, escapeXml, type Line, renderBars, renderLines } from './plots.ts';
import { type CaseResult, judge, type Summary } from './report.ts';

const style = `body { font: 15px/1.5 sans-serif; max-width: 960px; margin: 2em auto; padding: 0 1em; color: #1a202c; background: #fff }
table { border-collapse: collapse; font-size: 13px } td, th { padding: 2px 10px; text-align: right; border-bottom: 1px solid #e2e8f0 }
td:first-child, th:first-child, td:nth-child(2) { text-align: left } svg { max-width: 100%; height: auto } .missed { color: #c05621 }`;

const lineColors: readonly string[] = ['#718096', '#2f855a', '#2b6cb0', '#b7791f'];

const ownName = 'own';

export function renderPage(results: readonly CaseResult[]): string {
  const costs = results.filter(({ benchCase }) => benchCase.rates === undefined && !benchCase.idleConnections);
  const memory = results.filter(({ benchCase }) => benchCase.idleConnections);
  const latencies = results.filter(({ benchCase }) => benchCase.rates !== undefined);
  return [
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Benchmark</title>',
    `<style>${style}</style></head><body>`,
    '<h1>Benchmark against Envoy</h1>',
    '<p>Medians of rounds in alternation; in parentheses, and as thin lines, the lowest and the highest round.</p>',
    ...section('CPU time per request, the reference’s divided by this proxy’s', costs.length > 0, () => [
      '<p>Above 1 this proxy is cheaper. The thick tick is the target.</p>',
      renderBars(costs.flatMap(makeEfficiencyBar), 'times as efficient as the reference'),
    ]),
    ...section('Throughput', costs.length > 0, () => [
      '<p>Requests per second through one core, relative to the reference. Load and upstream share the other core, and may be the limit.</p>',
      renderBars(
        costs.flatMap(result => makeBar(result, 'throughput')),
        'times the throughput of the reference',
      ),
    ]),
    ...section('Resident memory under load, the reference’s divided by this proxy’s', costs.length > 0, () => [
      renderBars(
        costs.flatMap(result => makeBar(result, 'memory')),
        'times as small as the reference',
      ),
    ]),
    ...section('Latency at fixed rates', latencies.length > 0, () => latencies.flatMap(renderLatencies)),
    ...section('Memory of an idle connection, the reference’s divided by this proxy’s', memory.length > 0, () => [
      renderBars(memory.flatMap(makeEfficiencyBar), 'times as small as with the reference'),
    ]),
    '<h2>All figures</h2>',
    renderTable(results),
    '</body></html>\n',
  ].join('\n');
}

function section(title: string, isShown: boolean, render: () => string[]): string[] {
  return isShown ? [`<h2>${title}</h2>`, ...render()] : [];
}

function findOwn({ summaries }: CaseResult): Summary | undefined {
  return summaries[0].proxies.find(({ proxy }) => proxy === ownName);
}

function makeEfficiencyBar(result: CaseResult): Bar[] {
  const own = findOwn(result);
  if (own === undefined) return [];
  const { median, low, high } = own.efficiency;
  const { name, target } = result.benchCase;
  return [{ label: name, value: median, low, high, mark: target, isGood: median >= target }];
}

function makeBar(result: CaseResult, of: 'throughput' | 'memory'): Bar[] {
  const own = findOwn(result);
  if (own === undefined) return [];
  const { median, low, high } = own[of];
  return [{ label: result.benchCase.name, value: median, low, high, mark: null, isGood: median >= 1 }];
}

function renderLatencies({ benchCase, summaries }: CaseResult): string[] {
  const names = summaries[0].proxies.map(({ proxy }) => proxy);
  const percentiles = ['p50Ms', 'p90Ms', 'p99Ms'] as const;
  return [
    `<h3>${escapeXml(benchCase.description)}</h3>`,
    ...percentiles.map(percentile => {
      const lines = names.map((name, i): Line => {
        const points = summaries.map(({ rate, proxies }) => [rate as number, proxies[i].median[percentile]] as const);
        return { name, color: lineColors[i % lineColors.length], isDashed: i === 0, points };
      });
      return renderLines(percentile.slice(0, 3), lines, 'requests per second', 'ms');
    }),
  ];
}

function renderTable(results: readonly CaseResult[]): string {
  const heads = ['case', 'proxy', 'CPU us/request', 'requests/s', 'p50 ms', 'p90 ms', 'p99 ms', 'RSS MiB', 'efficiency'];
  const rows = results.flatMap(result => {
    const verdict = judge(result);
    return result.summaries.flatMap(({ rate, proxies }) =>
      proxies.map(({ proxy, median: m, efficiency: e }) => {
        const name = `${result.benchCase.name}${rate === undefined ? '' : ` at ${rate}/s`}`;
        const spread = `${e.median.toFixed(2)} (${e.low.toFixed(2)}-${e.high.toFixed(2)})`;
        const isMissed = proxy === ownName && verdict?.isMet === false;
        const numbers = [m.cost, m.requestsPerSecond, m.p50Ms, m.p90Ms, m.p99Ms, m.residentMiB].map(formatNumber);
        const cells = [name, proxy, ...numbers, spread].map(cell => `<td>${escapeXml(cell)}</td>`);
        return `<tr${isMissed ? ' class="missed"' : ''}>${cells.join('')}</tr>`;
      }),
    );
  });
  return `<table><tr>${heads.map(head => `<th>${head}</th>`).join('')}</tr>\n${rows.join('\n')}</table>`;
}

function formatNumber(value: number): string {
  if (Number.isNaN(value)) return '-';
  return value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
}
