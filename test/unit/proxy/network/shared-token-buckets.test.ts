import { Worker } from 'node:worker_threads';
import t from 'tap';
import { allocateTokenBuckets, SharedTokenBuckets } from '../../../../proxy/network/shared-token-buckets.ts';

const module = new URL('../../../../proxy/network/shared-token-buckets.ts', import.meta.url).href;
const model = { id: 'f0e1d2c3b4a59687', maxTokens: 5000, tokensPerFill: 1, fillIntervalMs: 86_400_000 };

/** Takes tokens on a thread of its own until there are none, and says how many it got. */
function drain(buffer: SharedArrayBuffer): Promise<number> {
  const source = `
    const { parentPort, workerData } = require('node:worker_threads');
    import(workerData.module).then(({ SharedTokenBuckets }) => {
      const bucket = new SharedTokenBuckets(workerData.buffer).attach(workerData.model);
      let taken = 0;
      while (bucket.consume()) taken++;
      parentPort.postMessage(taken);
    });`;
  const worker = new Worker(source, { eval: true, workerData: { module, buffer, model } });
  return new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
}

t.test('threads that attach to the same id share its tokens, and none is given twice', async t => {
  const buffer = allocateTokenBuckets();
  const taken = await Promise.all([drain(buffer), drain(buffer), drain(buffer)]);
  t.equal(
    taken.reduce((sum, count) => sum + count, 0),
    model.maxTokens,
  );
  t.notOk(new SharedTokenBuckets(buffer).attach(model).consume(), 'the bucket stays as it was left');
});

t.test('another id is another bucket', async t => {
  const buckets = new SharedTokenBuckets(allocateTokenBuckets());
  const one = buckets.attach({ ...model, maxTokens: 1 });
  const other = buckets.attach({ ...model, id: 'f0e1d2c3b4a59688', maxTokens: 1 });
  t.strictSame([one.consume(), one.consume(), other.consume()], [true, false, true]);
});
