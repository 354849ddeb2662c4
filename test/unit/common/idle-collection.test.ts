import t from 'tap';
import { once } from 'node:events';
import { EventEmitter } from 'node:events';
import { IdleCollection } from '../../../common/idle-collection.ts';

const mib = 1 << 20;

function makeCollection(quietMs: number) {
  const events = new EventEmitter();
  const collection = new IdleCollection(() => events.emit('collected'), quietMs);
  // The collection's own timer keeps no process alive.
  const alive = setInterval(() => {}, 1000);
  t.teardown(() => clearInterval(alive));
  return { collection, events };
}

t.test('collects once after a start', async () => {
  const { collection, events } = makeCollection(1);
  collection.schedule();
  await once(events, 'collected');
});

t.test('collects after much was received, together with what followed', async t => {
  const { collection, events } = makeCollection(1);
  let count = 0;
  events.on('collected', () => count++);
  for (let i = 0; i < 8; i++) collection.noteReceived(mib);
  collection.noteReceived(1);
  await once(events, 'collected');
  t.equal(count, 1);
});

t.test('what is too little for a collection of its own is left, also right after one', async t => {
  const { collection, events } = makeCollection(1);
  collection.noteReceived(8 * mib);
  await once(events, 'collected');
  let count = 0;
  events.on('collected', () => count++);
  collection.noteReceived(7 * mib);
  // A later timer of the same length fires after the one that must not be there.
  await new Promise(resolve => setTimeout(resolve, 2));
  t.equal(count, 0);
});
