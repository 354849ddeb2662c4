/** Medians, and the ratio that counts. */

export interface Sample {
  readonly proxy: string;
  readonly microsecondsPerRequest: number;
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly residentMiB: number;
}

export interface Summary {
  readonly proxy: string;
  readonly median: Omit<Sample, 'proxy'>;
  /** The reference's CPU per request divided by this proxy's, round by round: median, lowest, highest. */
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
    const ratios = own.map((sample, round) => reference[round].microsecondsPerRequest / sample.microsecondsPerRequest);
    const pick = (key: keyof Omit<Sample, 'proxy'>) => median(own.map(sample => sample[key]));
    return {
      proxy,
      median: {
        microsecondsPerRequest: pick('microsecondsPerRequest'),
        requestsPerSecond: pick('requestsPerSecond'),
        p50Ms: pick('p50Ms'),
        p99Ms: pick('p99Ms'),
        residentMiB: pick('residentMiB'),
      },
      efficiency: { median: median(ratios), low: Math.min(...ratios), high: Math.max(...ratios) },
    };
  });
}

export function renderTable(title: string, summaries: readonly Summary[]): string {
  const lines = [
    title,
    '  proxy        CPU us/req   req/s     p50 ms   p99 ms   RSS MiB   efficiency against the first (low-high)',
  ];
  for (const { proxy, median: m, efficiency: e } of summaries) {
    const cells = [
      proxy.padEnd(12),
      m.microsecondsPerRequest.toFixed(1).padStart(10),
      m.requestsPerSecond.toFixed(0).padStart(8),
      m.p50Ms.toFixed(2).padStart(9),
      m.p99Ms.toFixed(2).padStart(8),
      m.residentMiB.toFixed(0).padStart(9),
      `     ${e.median.toFixed(2)} (${e.low.toFixed(2)}-${e.high.toFixed(2)})`,
    ];
    lines.push(`  ${cells.join(' ')}`);
  }
  return lines.join('\n');
}
