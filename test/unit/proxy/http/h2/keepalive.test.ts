import { once } from 'node:events';
import t from 'tap';
import { FrameType } from '../../../../../proxy/http/h2/frame.ts';
import { makeClient } from './codec-fixture.ts';
import { makeFrame } from '../../../../support/http2-wire.ts';

/** The next event that `predicate` holds for, looked for whenever the timer wheel may have turned. */
async function until(predicate: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await predicate())) {
    const timer = setTimeout(() => timers.dispatchEvent(new Event('tick')), 5);
    await once(timers, 'tick');
    clearTimeout(timer);
  }
}
const timers = new EventTarget();

const keepalive = { intervalMs: 20, intervalJitterPercent: 0, timeoutMs: 30, connectionIdleIntervalMs: 0 };

t.test('a connection whose peer does not answer a PING is closed', async t => {
  const client = await makeClient({ protocol: { connectionKeepalive: keepalive } });
  await until(() => client.connection.closed !== null);
  t.equal(client.connection.closed, 'no-flush');
  t.equal(client.stats.counts.get('keepalive_timeout'), 1);
  t.same(await client.written(), ['PING']);
});

t.test('answers keep it open, PING after PING', async t => {
  const client = await makeClient({ protocol: { connectionKeepalive: { ...keepalive, timeoutMs: 60_000 } } });
  for (let round = 0; round < 2; round++) {
    await until(async () => (await client.written()).includes('PING'));
    client.feed(makeFrame(FrameType.ping, 1, 0, '12345678'));
  }
  t.equal(client.connection.closed, null);
  client.codec.onConnectionClose('connection-termination');
});

t.test('a stream on a connection that was silent for long tests it', async t => {
  const model = { intervalMs: 0, intervalJitterPercent: 0, timeoutMs: 60_000, connectionIdleIntervalMs: 1 };
  const client = await makeClient({ protocol: { connectionKeepalive: model } });
  await until(async () => {
    client.begin('a');
    return (await client.written()).includes('PING');
  });
  client.codec.onConnectionClose('connection-termination');
  t.equal(client.connection.closed, null);
});
