import { setTimeout as wait } from 'node:timers/promises';
import t from 'tap';
import { Timer, TimerWheel } from '../../../common/timer-wheel.ts';

function schedule(wheel: TimerWheel, delayMs: number): Promise<number> {
  const began = wheel.now();
  return new Promise(resolve => wheel.schedule(delayMs, () => resolve(wheel.now() - began)));
}

t.test('timers fire in order and never early', async t => {
  const wheel = new TimerWheel();
  const delays = [120, 15, 60, 0, 35];
  const fired: number[] = [];
  const elapsed = await Promise.all(
    delays.map(async delay => {
      const time = await schedule(wheel, delay);
      fired.push(delay);
      return time;
    }),
  );
  t.same(
    fired,
    [...delays].sort((a, b) => a - b),
  );
  for (const [index, delay] of delays.entries()) t.ok(elapsed[index] >= delay, `${delay} ms took ${elapsed[index]} ms`);
});

t.test('a cancelled timer never fires, and arming moves it', async t => {
  const wheel = new TimerWheel();
  let cancelled = 0;
  let moved = 0;
  const first = wheel.schedule(10, () => cancelled++);
  const second = new Timer(() => moved++);
  wheel.arm(second, 10);
  wheel.cancel(first);
  wheel.arm(second, 60);
  // Looked at from a callback: however late the wheel turns, it turns in order.
  await new Promise<void>(resolve => {
    wheel.schedule(40, () => {
      t.equal(cancelled, 0);
      t.equal(moved, 0);
      t.ok(second.armed);
      resolve();
    });
  });
  await schedule(wheel, 60);
  t.equal(moved, 1);
  t.notOk(second.armed);
});

t.test('a callback may arm and cancel others of the same tick', async t => {
  const wheel = new TimerWheel();
  let victimFired = false;
  const victim = new Timer(() => {
    victimFired = true;
  });
  await new Promise<void>(resolve => {
    wheel.arm(victim, 30);
    // Entries of one slot fire from its end.
    wheel.schedule(30, () => {
      wheel.cancel(victim);
      wheel.schedule(10, resolve);
    });
  });
  t.notOk(victimFired);
});

t.test('delays beyond 2^31 ms and endless ones wait', async t => {
  const wheel = new TimerWheel();
  let fired = 0;
  const timers = [2 ** 31, 2 ** 32, 5e12, Number.MAX_SAFE_INTEGER, Number.POSITIVE_INFINITY].map(delay =>
    wheel.schedule(delay, () => fired++),
  );
  await schedule(wheel, 50);
  t.equal(fired, 0);
  for (const timer of timers) wheel.cancel(timer);
});

t.test('an idle wheel does not keep the process busy', async t => {
  const wheel = new TimerWheel();
  const before = process.getActiveResourcesInfo().filter(name => name === 'Timeout').length;
  const timer = wheel.schedule(1000, () => {});
  t.equal(process.getActiveResourcesInfo().filter(name => name === 'Timeout').length, before + 1);
  wheel.cancel(timer);
  t.equal(process.getActiveResourcesInfo().filter(name => name === 'Timeout').length, before);
});

t.test('a timer that was armed while the wheel stood still fires on time', async t => {
  const wheel = new TimerWheel();
  await schedule(wheel, 10);
  await wait(300);
  const elapsed = await schedule(wheel, 2600);
  t.ok(elapsed >= 2600, `${elapsed} ms`);
});
