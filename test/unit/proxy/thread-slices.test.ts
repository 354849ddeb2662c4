import { release } from 'node:os';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { lengthenBackgroundSlices, listThreads, loadSchedulerCalls, type SchedulerCalls } from '../../../proxy/thread-slices.ts';
import { isWorkerName, nameWorker } from '../../../proxy/workers/worker-name.ts';

const [major, minor] = release().split('.').map(Number);
const hasSlices = major > 6 || (major === 6 && minor >= 12);

/** `sched_runtime` of `struct sched_attr`; null: no such thread. */
function readSliceMs(calls: SchedulerCalls, threadId: number): number | null {
  const attributes = Buffer.alloc(56);
  return calls.get(threadId, attributes) ? Number(attributes.readBigUInt64LE(24)) / 1e6 : null;
}

t.test('threads that serve connections keep their slice, others take longer ones', async t => {
  const worker = new Worker('setInterval(() => {}, 1000)', { eval: true, name: nameWorker(3) });
  await new Promise(resolve => worker.once('online', resolve));
  t.teardown(() => worker.terminate());
  const calls = loadSchedulerCalls();
  const usualMs = readSliceMs(calls, process.pid);
  lengthenBackgroundSlices(isWorkerName);
  const threads = [...listThreads()];
  t.equal(threads.filter(([, name]) => isWorkerName(name)).length, 1, 'the worker is there by its name');
  t.ok(threads.length >= 3, 'and V8 has threads of its own');
  for (const [id, name] of threads) {
    t.equal(readSliceMs(calls, id), !hasSlices || isWorkerName(name) ? usualMs : 100, name);
  }
});

t.test('a thread that is over has no slice', async t => {
  t.equal(readSliceMs(loadSchedulerCalls(), 2 ** 22 + 1), null);
});

t.test('a kernel that refuses changes nothing', async t => {
  t.intercept(process, 'arch', { value: 'vax' });
  t.throws(() => loadSchedulerCalls(), { message: 'no number of sched_setattr for vax' });
  t.doesNotThrow(() => lengthenBackgroundSlices(isWorkerName));
});
