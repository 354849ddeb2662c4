import { receiveMessageOnPort } from 'node:worker_threads';
import t from 'tap';
import { parseText } from '../../../../common/shared-text.ts';
import type { MainToWorker, SharedMessage } from '../../../../proxy/workers/messages.ts';
import { type InboxPort, Outbox } from '../../../../proxy/workers/outbox.ts';

function connect(outbox: Outbox): { inbox: InboxPort; wakes: () => number; take: () => readonly SharedMessage[] | undefined } {
  let wakes = 0;
  const inbox = outbox.connect(() => wakes++);
  t.teardown(() => inbox.port.close());
  return { inbox, wakes: () => wakes, take: () => receiveMessageOnPort(inbox.port)?.message };
}

const cluster = (name: string, model: object): MainToWorker => ({ type: 'cluster', name, row: 1, model: JSON.stringify(model) });
const modelOf = (message: SharedMessage): unknown => parseText((message as Extract<SharedMessage, { type: 'cluster' }>).model);

t.test('what is said in one turn goes to every worker as one batch, with its texts in the same memory', async t => {
  const outbox = new Outbox();
  const workers = [connect(outbox), connect(outbox)];
  outbox.broadcast(cluster('a', { text: 'grün' }));
  outbox.broadcast({ type: 'cluster-removed', name: 'b' });
  outbox.broadcast(cluster('c', { text: '' }));
  t.equal(workers[0].take(), undefined);
  await Promise.resolve();
  for (const { take, wakes } of workers) {
    t.equal(wakes(), 1);
    const batch = take() ?? [];
    t.same(
      batch.map(({ type }) => type),
      ['cluster', 'cluster-removed', 'cluster'],
    );
    t.same([modelOf(batch[0]), modelOf(batch[2])], [{ text: 'grün' }, { text: '' }]);
    t.equal(take(), undefined);
  }
});

t.test('much of it goes before the turn is over', async t => {
  const outbox = new Outbox();
  const { take } = connect(outbox);
  for (let i = 0; i < 20; i++) outbox.broadcast(cluster(`${i}`, { text: 'x'.repeat(10_000) }));
  const sizes: number[] = [];
  for (let batch = take(); batch !== undefined; batch = take()) sizes.push(batch.length);
  t.same(sizes, Array(10).fill(2));
});

t.test('what goes to one worker stays behind what went to all', async t => {
  const outbox = new Outbox();
  const [one, other] = [connect(outbox), connect(outbox)];
  outbox.broadcast(cluster('a', {}));
  outbox.post(1, { type: 'listen', listener: 'x', fd: 3, addressIndex: 0 });
  t.same(
    [one.take(), one.take(), other.take(), other.take()].map(batch => batch?.[0].type),
    ['cluster', undefined, 'cluster', 'listen'],
  );
});

t.test('who was told is not told again until it has looked', async t => {
  const outbox = new Outbox();
  const { inbox, wakes } = connect(outbox);
  outbox.post(0, { type: 'flush-logs' });
  outbox.post(0, { type: 'flush-logs' });
  t.equal(wakes(), 1);
  Atomics.store(inbox.isTold, 0, 0);
  outbox.post(0, { type: 'flush-logs' });
  t.equal(wakes(), 2);
});
