import { once } from 'node:events';
import net from 'node:net';
import t, { type Test } from 'tap';
import { TimerWheel } from '../../../../common/timer-wheel.ts';
import { openConnection } from '../../../../proxy/network/client-connection.ts';
import type { CloseType, Connection } from '../../../../proxy/network/connection.ts';
import { DelayedClose } from '../../../../proxy/network/delayed-close.ts';

const timers = new TimerWheel();
const manyBytes = 32 * 1024 * 1024;

/** A connection that only says how many bytes it has, and when its wait was over. */
function makeClosing(unsent: readonly number[]): {
  connection: { unsentBytes: number; endDelayedClose(): void };
  ended: Promise<void>;
  asked(): number;
} {
  let asked = 0;
  let end = (): void => {};
  const ended = new Promise<void>(resolve => {
    end = resolve;
  });
  const connection = {
    get unsentBytes() {
      return unsent[Math.min(asked++, unsent.length - 1)];
    },
    endDelayedClose: () => end(),
  };
  return { connection, ended, asked: () => asked };
}

t.test('a peer that takes bytes gets more time, one that takes none does not', async t => {
  const { connection, ended, asked } = makeClosing([300, 200, 200, 200]);
  new DelayedClose(connection, timers, 20, false);
  await ended;
  // Armed, and asked at each end of the time; after progress armed anew.
  t.equal(asked(), 4);
});

t.test('without a wait for the peer the last byte ends it', async t => {
  const { connection, ended } = makeClosing([300]);
  const closing = new DelayedClose(connection, timers, 60_000, false);
  closing.onFlushed();
  await t.resolves(ended);
  closing.cancel();
});

/** A connection to a server that reads nothing until it is told, with more written than sockets hold. */
async function writeMuch(t: Test): Promise<{ connection: Connection; read: () => Promise<number> }> {
  const server = net.createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const accepted = once(server, 'connection');
  const connection = await new Promise<Connection>(resolve => {
    const opened: Connection = openConnection({
      address: { kind: 'socket', address: '127.0.0.1', port: (server.address() as net.AddressInfo).port },
      bindAddress: null,
      transport: null,
      bufferLimitBytes: 0,
      timers,
      callbacks: { onData() {}, onConnected: () => resolve(opened), onClose() {} },
    });
  });
  const [peer] = (await accepted) as [net.Socket];
  connection.write(Buffer.alloc(manyBytes), false);
  return {
    connection,
    read: async () => {
      let received = 0;
      peer.on('data', data => {
        received += data.length;
      });
      peer.resume();
      await once(peer, 'end');
      return received;
    },
  };
}

for (const type of ['flush-write', 'flush-write-and-delay'] as const satisfies readonly CloseType[]) {
  t.test(`${type} without a timeout sends everything and then closes at once`, async t => {
    const { connection, read } = await writeMuch(t);
    const closed = new Promise(resolve => {
      connection.callbacks = { onData() {}, onClose: resolve };
    });
    connection.setDelayedCloseTimeoutMs(0);
    connection.close(type);
    t.ok(connection.bufferedBytes > 0, 'more than sockets hold');
    t.equal(await read(), manyBytes);
    t.equal(await closed, 'local-close');
  });
}
