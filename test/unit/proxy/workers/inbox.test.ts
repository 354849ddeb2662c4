import t from 'tap';
import { Inbox } from '../../../../proxy/workers/inbox.ts';

interface Fixture {
  readonly inbox: Inbox<number>;
  readonly batches: number[][];
  readonly handled: number[];
  /** The next turn of the event loop; false if nothing asked for one. */
  readonly turn: () => boolean;
}

/** An inbox whose handler takes as long as each message says, on a clock of its own. */
function start(): Fixture {
  const batches: number[][] = [];
  const handled: number[] = [];
  const deferred: (() => void)[] = [];
  let nowMs = 1;
  const handle = (ms: number): void => {
    handled.push(ms);
    nowMs += ms;
  };
  const inbox = new Inbox<number>(
    () => batches.shift() ?? null,
    handle,
    () => nowMs,
    next => deferred.push(next),
  );
  const turn = (): boolean => {
    const next = deferred.shift();
    next?.();
    return next !== undefined;
  };
  return { inbox, batches, handled, turn };
}

t.test('messages are handled at once where nothing waits', async t => {
  const { inbox, batches, handled, turn } = start();
  batches.push([1]);
  inbox.wake();
  t.same(handled, [1]);
  t.ok(inbox.isEmpty);
  t.notOk(turn(), 'an idle inbox does not keep the event loop busy');
  batches.push([0.5, 0.25]);
  inbox.wake();
  t.same(handled, [1, 0.5, 0.25]);
});

t.test('a slice ends after some milliseconds; what is left follows in later turns, in order', async t => {
  const { inbox, batches, handled, turn } = start();
  batches.push([1, 1.5, 1], [2, 4], [0.5]);
  inbox.wake();
  t.same(handled, [1, 1.5, 1], 'no message begins after the end of the slice');
  t.equal(batches.length, 1, 'and no more is taken than was begun');
  t.notOk(inbox.isEmpty);
  batches.push([7]);
  inbox.wake();
  t.same(handled, [1, 1.5, 1], 'who wakes it does not lengthen the slice');
  turn();
  t.same(handled, [1, 1.5, 1, 2, 4]);
  turn();
  t.same(handled, [1, 1.5, 1, 2, 4, 0.5, 7]);
  t.ok(inbox.isEmpty);
});

t.test('a message that cannot be handled is not handled twice', async t => {
  const seen: string[] = [];
  const batches = [['bad', 'good']];
  const inbox = new Inbox<string>(
    () => batches.shift() ?? null,
    message => {
      seen.push(message);
      if (message === 'bad') throw new Error('bad');
    },
  );
  t.throws(() => inbox.wake());
  inbox.wake();
  t.same(seen, ['bad', 'good']);
});
