/** A process whose worker dies must be gone within a second, with the exit code of a crash. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import t from 'tap';
import { crashExitCode } from '../../../../proxy/workers/worker-pool.ts';

const pool = new URL('../../../../proxy/workers/worker-pool.ts', import.meta.url).href;
const counters = new URL('../../../../proxy/upstream/shared-counters.ts', import.meta.url).href;

/** Starts two workers, says so, and runs `harm`. */
function script(harm: string): string {
  return `
    import { Worker } from 'node:worker_threads';
    import { WorkerPool } from '${pool}';
    import { allocateClusterCounters, allocateHostCounters } from '${counters}';
    const pool = new WorkerPool({
      workerCount: 2,
      start: {
        node: { id: 'n', cluster: 'c', locality: { region: '', zone: '', subZone: '' }, metadata: {} },
        statsMatcher: { kind: 'all', patterns: [] },
        hostCounters: allocateHostCounters(2), clusterCounters: allocateClusterCounters(2), runtime: {}, logLevel: 'off',
        componentLogLevels: {}, logPath: '', fileFlushIntervalMs: 1000, fileFlushMinBytes: 65536, globalConnectionLimit: 0, drainTimeMs: 1000,
      },
      createSink: () => ({ addBlock() {}, register() {} }),
      onMessage() {},
      ...(process.env.HEAP_MB && { resourceLimits: { maxOldGenerationSizeMb: Number(process.env.HEAP_MB) } }),
    });
    await pool.start();
    process.stdout.write('ready');
    setInterval(() => {}, 1000);
    ${harm}`;
}

async function runUntilDeath(
  harm: string,
  env: { [name: string]: string } = {},
): Promise<{ code: number; tookMs: number; log: string }> {
  const child = spawn(process.execPath, ['-e', script(harm)], { env: { ...process.env, ...env } });
  let log = '';
  child.stderr.on('data', data => (log += data));
  const exit = once(child, 'exit');
  await Promise.race([once(child.stdout, 'data'), exit.then(() => Promise.reject(new Error(log)))]);
  const startMs = performance.now();
  const [code] = (await exit) as [number];
  return { code, tookMs: performance.now() - startMs, log };
}

t.test('a throw in a worker ends the process like a crash', async t => {
  const { code, tookMs } = await runUntilDeath(`pool.post(1, { type: 'listener', name: 'x', model: 'not JSON' });`);
  t.equal(code, crashExitCode);
  t.ok(tookMs < 1000, `${Math.round(tookMs)} ms`);
});

t.test('a worker that runs out of memory ends the process like a crash', async t => {
  // Each is kept, parsed: they fill a heap of 24 MB.
  const fill = `
    const model = JSON.stringify({ text: 'x'.repeat(100_000) });
    for (let i = 0; i < 800; i++) pool.post(0, { type: 'extension-config', category: 'http', name: String(i), model });`;
  const { code, tookMs, log } = await runUntilDeath(fill, { HEAP_MB: '24' });
  t.equal(code, crashExitCode);
  t.ok(tookMs < 3000, `${Math.round(tookMs)} ms, filling included`);
  t.match(log, /memory limit/);
});
