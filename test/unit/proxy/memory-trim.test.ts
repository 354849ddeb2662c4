import { once } from 'node:events';
import { EventEmitter } from 'node:events';
import t from 'tap';
import { createMemoryTrim, MemoryTrim } from '../../../proxy/memory-trim.ts';

function makeTrim() {
  const clock = { cpuUs: 0, nowMs: 0, trims: 0 };
  const trim = new MemoryTrim({ cpuUs: () => clock.cpuUs, now: () => clock.nowMs, trim: () => clock.trims++ });
  /** Five seconds in which the process used so many milliseconds of CPU. */
  const pass = (cpuMs: number): number => {
    clock.cpuUs += cpuMs * 1000;
    clock.nowMs += 5000;
    trim.check();
    return clock.trims;
  };
  return pass;
}

t.test('trims once, when a busy time is over', async t => {
  const pass = makeTrim();
  t.equal(pass(20), 0, 'nothing happened yet');
  t.equal(pass(500), 0, 'busy');
  t.equal(pass(9000), 0, 'busy on several processors');
  t.equal(pass(499), 1, 'quiet');
  t.equal(pass(20), 1, 'still quiet');
  t.equal(pass(600), 1);
  t.equal(pass(0), 2, 'after the next one again');
});

t.test('a check that comes at once divides by no zero', async t => {
  const trim = new MemoryTrim({ cpuUs: () => 0, now: () => 0, trim: () => t.fail('nothing happened') });
  trim.check();
});

t.test('checks by itself', async t => {
  const events = new EventEmitter();
  let cpuUs = 0;
  const trim = new MemoryTrim({
    cpuUs: () => (cpuUs = cpuUs === 0 ? 1 : 10_000_000),
    now: () => performance.now(),
    trim: () => events.emit('trimmed'),
  });
  const alive = setInterval(() => {}, 1000);
  t.teardown(() => clearInterval(alive));
  trim.start(1);
  await once(events, 'trimmed');
});

t.test('the C library of this machine can', async t => {
  t.ok(createMemoryTrim());
});
