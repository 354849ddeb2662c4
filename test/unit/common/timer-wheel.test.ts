import { performance } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import t, { type Test } from 'tap';
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

/** A clock that stands until the next timeout is due. */
class SimulatedClock {
  nowMs = 0;
  wakeUps = 0;
  timeoutsSet = 0;
  #next: { atMs: number; run: () => void } | null = null;

  constructor(t: Test) {
    t.intercept(performance, 'now', { value: () => this.nowMs });
    t.intercept(globalThis, 'setTimeout', {
      value: (run: () => void, delayMs: number) => {
        this.timeoutsSet++;
        this.#next = { atMs: this.nowMs + Math.max(1, delayMs), run };
        return {};
      },
    });
    t.intercept(globalThis, 'clearTimeout', { value: () => (this.#next = null) });
  }

  /** Runs what is due up to a time. */
  runUntil(timeMs: number): void {
    for (let next = this.#next; next !== null && next.atMs <= timeMs; next = this.#next) {
      this.nowMs = next.atMs;
      this.#next = null;
      this.wakeUps++;
      next.run();
    }
    this.nowMs = timeMs;
  }
}

t.test('only due timers wake the process', t => {
  const clock = new SimulatedClock(t);
  const wheel = new TimerWheel();
  const fired: number[] = [];
  wheel.schedule(3_600_000, () => fired.push(clock.nowMs));
  for (let request = 0; request < 1000; request++) {
    const timer = wheel.schedule(15_000, () => fired.push(-1));
    clock.runUntil(clock.nowMs + 5);
    wheel.cancel(timer);
  }
  t.ok(clock.wakeUps <= 3, `${clock.wakeUps} while a thousand timers were cancelled`);
  clock.runUntil(4_000_000);
  t.same(fired, [3_600_000]);
  t.ok(clock.wakeUps < 15, `${clock.wakeUps} in an hour`);
  t.end();
});

t.test('the only timer, moved for every request, sets a timeout as rarely', t => {
  const clock = new SimulatedClock(t);
  const wheel = new TimerWheel();
  const fired: number[] = [];
  const idle = new Timer(() => fired.push(clock.nowMs));
  for (let request = 0; request < 1000; request++) {
    wheel.arm(idle, 60_000);
    clock.runUntil(clock.nowMs + 5);
  }
  t.ok(clock.timeoutsSet <= 3, `${clock.timeoutsSet} timeouts`);
  clock.runUntil(120_000);
  t.same(fired, [65_000], 'a minute after the last, within a tick');
  wheel.arm(idle, 60_000);
  wheel.arm(idle, Number.POSITIVE_INFINITY);
  clock.runUntil(1e9);
  t.equal(fired.length, 1, 'endless means never');
  t.end();
});

t.test('any delays, armed, moved and cancelled at any time, fire within a tick of when they are due', t => {
  const clock = new SimulatedClock(t);
  const wheel = new TimerWheel();
  const due = new Map<Timer, number>();
  let state = 12_345;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
  const late: number[] = [];
  const timers = Array.from({ length: 200 }, () => {
    const timer: Timer = new Timer(() => {
      late.push(clock.nowMs - (due.get(timer) as number));
      due.delete(timer);
      // As a retry does: from within the wheel's own turn.
      if (random(3) === 0) arm(timer);
    });
    return timer;
  });
  const arm = (timer: Timer): void => {
    const delayMs = random(10 ** (1 + random(8)));
    due.set(timer, clock.nowMs + delayMs);
    wheel.arm(timer, delayMs);
  };
  for (let step = 0; step < 5000; step++) {
    const timer = timers[random(timers.length)];
    if (random(4) === 0) {
      due.delete(timer);
      wheel.cancel(timer);
    } else arm(timer);
    clock.runUntil(clock.nowMs + random(10 ** random(6)) / 8);
    if ([...due.values()].some(dueMs => clock.nowMs > dueMs + 20)) t.fail(`overdue after step ${step}`);
  }
  clock.runUntil(clock.nowMs + 1e9);
  t.equal(due.size, 0, 'all fired');
  t.ok(late.length > 2000, `${late.length} fired`);
  t.ok(Math.min(...late) >= 0 && Math.max(...late) <= 20, `${Math.min(...late)} to ${Math.max(...late)} ms late`);
  t.end();
});

t.test('a callback that throws does not stop the others', t => {
  const clock = new SimulatedClock(t);
  const wheel = new TimerWheel();
  let fired = 0;
  wheel.schedule(30, () => {
    throw new Error('by a callback');
  });
  wheel.schedule(60, () => fired++);
  t.throws(() => clock.runUntil(100), { message: 'by a callback' });
  clock.runUntil(100);
  t.equal(fired, 1);
  t.end();
});
