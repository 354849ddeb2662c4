import t from 'tap';
import { type BenchCase, cases } from '../../../bench/cases.ts';
import { judge, renderTable, type Sample, summarize, summarizeCase } from '../../../bench/report.ts';
import { renderPage } from '../../../bench/report-page.ts';

function makeSample(proxy: string, cost: number, p99Ms = 1, rate?: number): Sample {
  const sample = { proxy, cost, requestsPerSecond: 1e6 / cost, p50Ms: 0.5, p90Ms: 0.8, p99Ms, residentMiB: 60 };
  return rate === undefined ? sample : { ...sample, rate };
}

const http1 = cases.find(({ name }) => name === 'http1') as BenchCase;
const latency = cases.find(({ name }) => name === 'latency-http1') as BenchCase;

t.test('rounds are compared in pairs, and the median decides', async t => {
  const samples = [40, 20, 80, 20, 60, 60].map((cost, i) => makeSample(i % 2 === 0 ? 'envoy' : 'own', cost));
  const [envoy, own] = summarize(samples);
  t.equal(envoy.efficiency.median, 1);
  t.same(own.efficiency, { median: 2, low: 1, high: 4 });
  t.equal(own.median.cost, 20);
});

t.test('a case of costs reaches its target or misses it', async t => {
  const result = summarizeCase(http1, [makeSample('envoy', 40), makeSample('own', 30)]);
  t.same(judge(result), { target: '1.4', isMet: false });
  t.match(renderTable(result), /target 1\.4: MISSED/);
});

t.test('latencies are judged at one rate, against the larger of share and margin', async t => {
  const ofRate = (rate: number, ownMs: number) => [makeSample('envoy', 40, 1, rate), makeSample('own', 30, ownMs, rate)];
  const judgeAt = (ownMs: number) =>
    judge(
      summarizeCase(
        latency,
        (latency.rates as number[]).flatMap(rate => ofRate(rate, rate === 1000 ? ownMs : 99)),
      ),
    );
  t.same(judgeAt(1.5), { target: 'p99 at 1000/s at most 1.50 ms', isMet: true });
  t.equal(judgeAt(1.51)?.isMet, false);
});

t.test('the page plots costs and latencies, and tells every figure', async t => {
  const rates = latency.rates as number[];
  const latencies = rates.flatMap(rate => [makeSample('envoy', 40, 1, rate), makeSample('own', 30, 2, rate)]);
  const page = renderPage([
    summarizeCase(http1, [makeSample('envoy', 40), makeSample('own', 20)]),
    summarizeCase(latency, latencies),
  ]);
  t.equal(page.match(/<svg /g)?.length, 6, 'efficiency, throughput, memory, three percentiles');
  t.equal(page.match(/<svg /g)?.length, page.match(/<\/svg>/g)?.length);
  t.match(page, />2\.00 \(2\.00-2\.00\)</);
  t.match(page, /latency-http1 at 2000\/s/);
  t.notMatch(page, /NaN|undefined|Infinity/);
});
