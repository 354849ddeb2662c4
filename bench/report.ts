/** Medians, and the ratio that counts. */
import type { BenchCase } from './cases.ts';

export interface Sample {
  readonly proxy: string;
  /** CPU microseconds per request, or KiB per idle connection. */
  readonly cost: number;
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly residentMiB: number;
}

export interface Summary {
  readonly proxy: string;
  readonly median: Omit<Sample, 'proxy'>;
  /** The reference's cost divided by this proxy's, round by round: median, lowest, highest. */
  readonly efficiency: { readonly median: number; readonly low: number; readonly high: number };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

/** Rounds are paired: sample i of a proxy is compared with sample i of the first proxy, the reference. */
export function summarize(samples: readonly Sample[]): Summary[] {
  const of = (proxy: string) => samples.filter(sample => sample.proxy === proxy);
  const reference = of(samples[0]?.proxy ?? '');
  return [...new Set(samples.map(({ proxy }) => proxy))].map(proxy => {
    const own = of(proxy);
    const ratios = own.map((sample, round) => reference[round].cost / sample.cost);
    const pick = (key: keyof Omit<Sample, 'proxy'>) => median(own.map(sample => sample[key]));
    return {
      proxy,
      median: {
        cost: pick('cost'),
        requestsPerSecond: pick('requestsPerSecond'),
        p50Ms: pick('p50Ms'),
        p99Ms: pick('p99Ms'),
        residentMiB: pick('residentMiB'),
      },
      efficiency: { median: median(ratios), low: Math.min(...ratios), high: Math.max(...ratios) },
    };
  });
}

export function renderTable(benchCase: BenchCase, summaries: readonly Summary[]): string {
  const unit = benchCase.idleConnections ? 'KiB/conn.' : 'CPU us/req';
  const lines = [
    `${benchCase.name}: ${benchCase.description}`,
    `  proxy        ${unit.padStart(10)}   req/s     p50 ms   p99 ms   RSS MiB   efficiency against the first (low-high)`,
  ];
  for (const { proxy, median: m, efficiency: e } of summaries) {
    const cells = [
      proxy.padEnd(12),
      m.cost.toFixed(1).padStart(10),
      renderNumber(m.requestsPerSecond, 0).padStart(8),
      renderNumber(m.p50Ms, 2).padStart(9),
      renderNumber(m.p99Ms, 2).padStart(8),
      m.residentMiB.toFixed(0).padStart(9),
      `     ${e.median.toFixed(2)} (${e.low.toFixed(2)}-${e.high.toFixed(2)})`,
    ];
    const verdict = proxy === 'own' ? `  target ${benchCase.target}` : '';
    lines.push(`  ${cells.join(' ')}${verdict}`);
  }
  return lines.join('\n');
}

function renderNumber(value: number, digits: number): string {
  return Number.isNaN(value) ? '-' : value.toFixed(digits);
}
