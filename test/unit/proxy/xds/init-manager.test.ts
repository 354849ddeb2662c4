import t from 'tap';
import { InitManager } from '../../../../proxy/xds/init-manager.ts';

t.test('it is ready when everything is, and not before it is sealed', async t => {
  let calls = 0;
  const init = new InitManager(() => calls++);
  const a = init.add('a');
  const b = init.add('b');
  a();
  b();
  t.equal(calls, 0);
  init.seal();
  t.equal(calls, 1);
  a();
  t.equal(calls, 1);
});

t.test('with nothing to wait for it is ready at once', async t => {
  let ready = false;
  const init = new InitManager(() => {
    ready = true;
  });
  init.seal();
  t.ok(ready);
});

t.test('it names what it waits for', async t => {
  const init = new InitManager(() => {});
  const ready = init.add('routes 80');
  init.add('secret default');
  ready();
  t.strictSame(init.pending, ['secret default']);
});

t.test('a time limit counts as ready and is reported', async t => {
  const events: string[] = [];
  await new Promise<void>(resolve => {
    const init = new InitManager(() => {
      events.push('ready');
      resolve();
    });
    init.add('slow', 1, () => events.push('timeout'));
    init.seal();
  });
  t.strictSame(events, ['timeout', 'ready']);
});

t.test('a cancelled one never calls back', async t => {
  let calls = 0;
  const init = new InitManager(() => calls++);
  const ready = init.add('a');
  init.seal();
  init.cancel();
  ready();
  t.equal(calls, 0);
});
