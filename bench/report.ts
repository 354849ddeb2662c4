/** Medians, and the ratio that counts. */
import { type BenchCase, judgedRate } from './cases.ts';

/** What one round of load told. NaN: the case does not measure it. */
export interface Sample {
  readonly proxy: string;
  /** CPU microseconds per request, or KiB per idle connection. */
  readonly cost: number;
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly residentMiB: number;
  /** Requests per second that were asked for, if that is the case's point. */
  readonly rate?: number;
}

export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

export interface Summary {
  readonly proxy: string;
  readonly median: Omit<Sample, 'proxy' | 'rate'>;
  /** The reference's cost divided by this proxy's, round by round. */
  readonly efficiency: Spread;
  /** This proxy's requests per second divided by the reference's. */
  readonly throughput: Spread;
  /** The reference's resident memory divided by this proxy's. */
  readonly memory: Spread;
}

/** All about one case: one entry for each rate, or one in all. */
export interface CaseResult {
  readonly benchCase: BenchCase;
  readonly summaries: readonly { readonly rate?: number; readonly proxies: readonly Summary[] }[];
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

function spread(values: readonly number[]): Spread {
  return { median: median(values), low: Math.min(...values), high: Math.max(...values) };
}

/** Rounds are paired: sample i of a proxy is compared with sample i of the first proxy, the reference. */
export function summarize(samples: readonly Sample[]): Summary[] {
  const of = (proxy: string) => samples.filter(sample => sample.proxy === proxy);
  const reference = of(samples[0]?.proxy ?? '');
  return [...new Set(samples.map(({ proxy }) => proxy))].map(proxy => {
    const own = of(proxy);
    const compare = (divide: (one: Sample, other: Sample) => number) =>
      spread(own.map((sample, round) => divide(sample, reference[round])));
    const pick = (key: keyof Summary['median']) => median(own.map(sample => sample[key]));
    return {
      proxy,
      median: {
        cost: pick('cost'),
        requestsPerSecond: pick('requestsPerSecond'),
        p50Ms: pick('p50Ms'),
        p90Ms: pick('p90Ms'),
        p99Ms: pick('p99Ms'),
        residentMiB: pick('residentMiB'),
      },
      efficiency: compare((one, other) => other.cost / one.cost),
      throughput: compare((one, other) => one.requestsPerSecond / other.requestsPerSecond),
      memory: compare((one, other) => other.residentMiB / one.residentMiB),
    };
  });
}

export function summarizeCase(benchCase: BenchCase, samples: readonly Sample[]): CaseResult {
  const { rates } = benchCase;
  if (rates === undefined) return { benchCase, summaries: [{ proxies: summarize(samples) }] };
  const ofRate = (rate: number) => ({ rate, proxies: summarize(samples.filter(sample => sample.rate === rate)) });
  return { benchCase, summaries: rates.map(ofRate) };
}

/** What is to be reached, and whether this proxy does; empty where nothing is. */
export function judge({ benchCase, summaries }: CaseResult): { readonly target: string; readonly isMet: boolean } | null {
  if (benchCase.rates === undefined) {
    const own = summaries[0].proxies.find(({ proxy }) => proxy === 'own');
    return own === undefined ? null : { target: `${benchCase.target}`, isMet: own.efficiency.median >= benchCase.target };
  }
  const judged = summaries.find(({ rate }) => rate === judgedRate)?.proxies;
  const own = judged?.find(({ proxy }) => proxy === 'own');
  if (judged === undefined || own === undefined) return null;
  const limitMs = Math.max(judged[0].median.p99Ms * 1.2, judged[0].median.p99Ms + 0.5);
  return { target: `p99 at ${judgedRate}/s at most ${limitMs.toFixed(2)} ms`, isMet: own.median.p99Ms <= limitMs };
}

export function renderTable(result: CaseResult): string {
  const { benchCase, summaries } = result;
  const unit = benchCase.idleConnections ? 'KiB/conn.' : 'CPU us/req';
  const verdict = judge(result);
  const lines = [`${benchCase.name}: ${benchCase.description}${verdict === null ? '' : renderVerdict(verdict)}`];
  for (const { rate, proxies } of summaries) {
    const title = (rate === undefined ? 'proxy' : `${rate}/s`).padEnd(13);
    lines.push(`  ${title}${unit.padStart(10)}   req/s     p50 ms   p90 ms   p99 ms   RSS MiB   efficiency against the first`);
    for (const { proxy, median: m, efficiency: e } of proxies) {
      const cells = [
        proxy.padEnd(12),
        m.cost.toFixed(1).padStart(10),
        renderNumber(m.requestsPerSecond, 0).padStart(8),
        renderNumber(m.p50Ms, 2).padStart(9),
        renderNumber(m.p90Ms, 2).padStart(8),
        renderNumber(m.p99Ms, 2).padStart(8),
        m.residentMiB.toFixed(0).padStart(9),
        `  ${e.median.toFixed(2)} (${e.low.toFixed(2)}-${e.high.toFixed(2)})`,
      ];
      lines.push(`  ${cells.join(' ')}`);
    }
  }
  return lines.join('\n');
}

function renderVerdict({ target, isMet }: { readonly target: string; readonly isMet: boolean }): string {
  return ` [target ${target}: ${isMet ? 'reached' : 'MISSED'}]`;
}

function renderNumber(value: number, digits: number): string {
  return Number.isNaN(value) ? '-' : value.toFixed(digits);
}
