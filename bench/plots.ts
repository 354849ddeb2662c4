/** The plots of the report, as SVG text that needs nothing else. */

/** One row of a bar plot; `mark` is what the value should reach. */
export interface Bar {
  readonly label: string;
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly mark: number | null;
  readonly isGood: boolean;
}

export interface Line {
  readonly name: string;
  readonly color: string;
  readonly isDashed: boolean;
  readonly points: readonly (readonly [x: number, y: number])[];
}

const rowHeight = 22;
const labelWidth = 210;
const plotWidth = 560;
const valueWidth = 130;
const colors = { good: '#2f855a', bad: '#c05621', spread: '#1a202c', grid: '#e2e8f0', text: '#2d3748' };

export function escapeXml(text: string): string {
  return text.replace(/[<>&"]/g, char => `&#${char.charCodeAt(0)};`);
}

function text(x: number, y: number, content: string, anchor: 'start' | 'middle' | 'end' = 'start'): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" fill="${colors.text}">${escapeXml(content)}</text>`;
}

function line(x1: number, y1: number, x2: number, y2: number, style: string): string {
  const [a, b, c, d] = [x1, y1, x2, y2].map(value => value.toFixed(1));
  return `<line x1="${a}" y1="${b}" x2="${c}" y2="${d}" ${style}/>`;
}

function svg(width: number, height: number, content: readonly string[]): string {
  const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" font-family="sans-serif"`;
  return [`${head} font-size="12">`, ...content, '</svg>'].join('\n');
}

/** A scale from 0 to `limit`, or a little more, in steps that read well. */
function steps(limit: number): number[] {
  const rough = Math.max(limit, Number.MIN_VALUE) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(factor => factor * power).find(candidate => candidate >= rough) as number;
  return Array.from({ length: Math.ceil(limit / step) + 1 }, (_, i) => i * step);
}

/** Digits that tell the steps of a scale apart. */
function formatStep(value: number, scale: readonly number[]): string {
  return value.toFixed(Math.max(0, Math.ceil(-Math.log10(scale[1] ?? 1))));
}

/** Horizontal bars with their spread as a thin line, and a tick where each should reach. */
export function renderBars(bars: readonly Bar[], unit: string): string {
  const scale = steps(Math.max(...bars.map(({ high, mark }) => Math.max(high, mark ?? 0))));
  const limit = scale.at(-1) as number;
  const height = bars.length * rowHeight;
  const xOf = (value: number) => labelWidth + (value / limit) * plotWidth;
  const grid = scale.flatMap(value => [
    line(xOf(value), 0, xOf(value), height, `stroke="${colors.grid}"`),
    text(xOf(value), height + 14, formatStep(value, scale), 'middle'),
  ]);
  const rows = bars.flatMap(({ label, value, low, high, mark, isGood }, row) => {
    const middle = row * rowHeight + rowHeight / 2;
    const box = `x="${labelWidth}" y="${middle - 7}" width="${(xOf(value) - labelWidth).toFixed(1)}" height="14"`;
    return [
      text(labelWidth - 8, middle + 4, label, 'end'),
      `<rect ${box} fill="${isGood ? colors.good : colors.bad}" fill-opacity="0.8"/>`,
      line(xOf(low), middle, xOf(high), middle, `stroke="${colors.spread}" stroke-width="1.5"`),
      mark === null ? '' : line(xOf(mark), middle - 9, xOf(mark), middle + 9, `stroke="${colors.spread}" stroke-width="3"`),
      text(labelWidth + plotWidth + 12, middle + 4, `${value.toFixed(2)} (${low.toFixed(2)}-${high.toFixed(2)})`),
    ];
  });
  const width = labelWidth + plotWidth + valueWidth;
  return svg(width, height + 36, [...grid, ...rows, text(labelWidth + plotWidth / 2, height + 32, unit, 'middle')]);
}

const chartWidth = 430;
const chartHeight = 240;
const margin = { left: 46, right: 24, top: 26, bottom: 62 };

/** Lines over a common x axis, whose ticks are the x values there are. */
export function renderLines(title: string, lines: readonly Line[], xUnit: string, yUnit: string): string {
  const points = lines.flatMap(({ points }) => points);
  const xs = [...new Set(points.map(([x]) => x))].sort((a, b) => a - b);
  const scale = steps(Math.max(...points.map(([, y]) => y)));
  const [xLimit, yLimit] = [xs.at(-1) as number, scale.at(-1) as number];
  const innerWidth = chartWidth - margin.left - margin.right;
  const innerHeight = chartHeight - margin.top - margin.bottom;
  const xOf = (x: number) => margin.left + (x / xLimit) * innerWidth;
  const yOf = (y: number) => margin.top + innerHeight * (1 - y / yLimit);
  const grid = scale.flatMap(value => [
    line(margin.left, yOf(value), chartWidth - margin.right, yOf(value), `stroke="${colors.grid}"`),
    text(margin.left - 5, yOf(value) + 4, formatStep(value, scale), 'end'),
  ]);
  const ticks = xs.map(x => text(xOf(x), chartHeight - margin.bottom + 15, String(x), 'middle'));
  const curves = lines.map(({ color, isDashed, points }) => {
    const path = points.map(([x, y]) => `${xOf(x).toFixed(1)},${yOf(y).toFixed(1)}`).join(' ');
    const dashes = isDashed ? ' stroke-dasharray="5 4"' : '';
    return `<polyline points="${path}" fill="none" stroke="${color}" stroke-width="2"${dashes}/>`;
  });
  const legend = lines.flatMap(({ name, color, isDashed }, i) => {
    const x = margin.left + i * 96;
    const y = chartHeight - 8;
    const dashes = isDashed ? ' stroke-dasharray="5 4"' : '';
    return [line(x, y - 4, x + 20, y - 4, `stroke="${color}" stroke-width="2"${dashes}`), text(x + 24, y, name)];
  });
  const labels = [
    text(4, 14, `${title} (${yUnit})`),
    text(margin.left + innerWidth / 2, chartHeight - margin.bottom + 31, xUnit, 'middle'),
  ];
  return svg(chartWidth, chartHeight, [...labels, ...grid, ...ticks, ...curves, ...legend]);
}
