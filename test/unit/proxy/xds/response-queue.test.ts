import t from 'tap';
import type { Gradual } from '../../../../proxy/xds/gradual.ts';
import { ResponseQueue } from '../../../../proxy/xds/response-queue.ts';

/** A response is the times that its resources take; the clock is the test's. */
function start() {
  const steps: string[] = [];
  const answers: number[] = [];
  const deferred: (() => void)[] = [];
  let nowMs = 1;
  function* apply(response: readonly number[]): Gradual<number> {
    for (const ms of response) {
      nowMs += ms;
      steps.push(`${response.length}:${ms}`);
      yield;
    }
    return response.length;
  }
  const queue = new ResponseQueue<readonly number[], number>({
    apply: response => (response.length === 0 ? null : apply(response)),
    answer: answer => answers.push(answer),
    now: () => nowMs,
    defer: next => deferred.push(next),
  });
  const turn = (): boolean => {
    const next = deferred.shift();
    next?.();
    return next !== undefined;
  };
  return { queue, steps, answers, turn };
}

t.test('a small response is applied and answered at once', async t => {
  const { queue, answers, turn } = start();
  queue.add([1, 2]);
  queue.add([3]);
  t.same(answers, [2, 1]);
  t.notOk(queue.isApplying);
  t.notOk(turn());
});

t.test('a large one takes several turns, is answered once, and the next one waits for it', async t => {
  const { queue, steps, answers, turn } = start();
  queue.add([6, 6, 6, 1]);
  t.same(steps, ['4:6', '4:6']);
  t.ok(queue.isApplying);
  queue.add([2]);
  t.same(steps, ['4:6', '4:6'], 'nothing overtakes');
  turn();
  t.same(steps.slice(2), ['4:6', '4:1', '1:2']);
  t.same(answers, [4, 1]);
  t.notOk(turn());
});

t.test('what has no subscriber is passed over', async t => {
  const { queue, answers } = start();
  queue.add([]);
  queue.add([1]);
  t.same(answers, [1]);
});

t.test('the end of the stream applies the rest and answers nothing', async t => {
  const { queue, steps, answers, turn } = start();
  queue.add([20, 1]);
  queue.add([2]);
  queue.end();
  t.same(steps, ['2:20', '2:1', '1:2']);
  turn();
  t.same(answers, []);
  t.equal(steps.length, 3);
});
