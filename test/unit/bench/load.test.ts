import t from 'tap';
import { encodePing, readPercentiles } from '../../../bench/load/h2load.ts';
import { parseWrkOutput } from '../../../bench/load/wrk.ts';

const wrkOutput = `Running 2s test @ http://127.0.0.1:80/
  1 threads and 64 connections
  Latency Distribution
     50%  850.00us
     90%    1.20ms
     99%    1.02s
  60231 requests in 2.01s, 8.2MB read
  Socket errors: connect 0, read 1, write 0, timeout 2
  Non-2xx or 3xx responses: 4
`;

t.test('what wrk says: counts, percentiles in milliseconds, every kind of failure', async t => {
  const load = parseWrkOutput(wrkOutput);
  t.same(load, { requests: 60231, errors: 7, seconds: 2.01, p50Ms: 0.85, p90Ms: 1.2, p99Ms: 1020 });
});

t.test('percentiles of the times that h2load logs', async t => {
  const log = Array.from({ length: 100 }, (_, i) => `17952830${i}\t200\t${(100 - i) * 1000}\n`).join('');
  t.same(readPercentiles(log), { p50Ms: 51, p90Ms: 91, p99Ms: 100 });
});

t.test('the ping is one gRPC frame', async t => {
  const frame = encodePing();
  t.equal(frame[0], 0, 'not compressed');
  t.equal(frame.readUInt32BE(1), frame.length - 5);
});
