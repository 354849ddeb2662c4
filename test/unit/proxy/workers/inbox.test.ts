import t from 'tap';
import { Inbox } from '../../../../proxy/workers/inbox.ts';

/** An inbox whose handler takes as long as each message says, on a clock of its own. */
function start(): { inbox: Inbox<number>; handled: number[]; turn: () => boolean } {
  const handled: number[] = [];
  const deferred: (() => void)[] = [];
  let nowMs = 1;
  const take = (ms: number): void => {
    handled.push(ms);
    nowMs += ms;
  };
  const inbox = new Inbox<number>(
    take,
    () => nowMs,
    next => deferred.push(next),
  );
  const turn = (): boolean => {
    const next = deferred.shift();
    next?.();
    return next !== undefined;
  };
  return { inbox, handled, turn };
}

t.test('a message is handled at once where nothing waits', async t => {
  const { inbox, handled, turn } = start();
  inbox.add(1);
  t.same(handled, [1]);
  t.ok(turn());
  t.notOk(turn(), 'an idle inbox does not keep the event loop busy');
  inbox.add(2);
  t.same(handled, [1, 2]);
});

t.test('a slice ends after some milliseconds; what is left follows in later turns, in order', async t => {
  const { inbox, handled, turn } = start();
  for (const ms of [3, 3.5, 1, 2, 4, 0.5]) inbox.add(ms);
  t.same(handled, [3, 3.5], 'no message begins after the end of the slice');
  turn();
  t.same(handled, [3, 3.5, 1, 2, 4]);
  inbox.add(7);
  t.same(handled, [3, 3.5, 1, 2, 4], 'nothing overtakes');
  turn();
  t.same(handled, [3, 3.5, 1, 2, 4, 0.5, 7]);
});

t.test('a message that cannot be handled is not handled twice', async t => {
  const seen: string[] = [];
  const inbox = new Inbox<string>(message => {
    seen.push(message);
    if (message === 'bad') throw new Error('bad');
  });
  t.throws(() => inbox.add('bad'));
  inbox.add('good');
  t.same(seen, ['bad', 'good']);
});
