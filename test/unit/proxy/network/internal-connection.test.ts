import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import type { Address } from '../../../../proxy/config/model/address.ts';
import type { CloseEvent, ConnectionCallbacks } from '../../../../proxy/network/connection.ts';
import { connectInternal, type InternalConnection } from '../../../../proxy/network/internal-connection.ts';

const address: Extract<Address, { kind: 'internal' }> = { kind: 'internal', listener: 'inside', endpointId: 'one' };

/** What one end saw. */
class Seen implements ConnectionCallbacks {
  readonly events: string[] = [];
  /** The buffers as they came. */
  readonly data: Buffer[] = [];

  onConnected(): void {
    this.events.push('connected');
  }
  onData(data: Buffer, endStream: boolean): void {
    if (data.length > 0) {
      this.data.push(data);
      this.events.push(data.length > 20 ? String(data.length) : data.toString());
    }
    if (endStream) this.events.push('end');
  }
  onClose(event: CloseEvent): void {
    this.events.push(event);
  }
  onAboveWriteBufferHighWatermark(): void {
    this.events.push('above');
  }
  onBelowWriteBufferLowWatermark(): void {
    this.events.push('below');
  }
}

interface Pair {
  readonly client: InternalConnection;
  readonly server: InternalConnection;
  readonly atClient: Seen;
  readonly atServer: Seen;
}

/** Both ends, connected and reading. */
async function connectPair(options: { halfClose?: boolean; bufferLimitBytes?: number; reads?: boolean } = {}): Promise<Pair> {
  const { halfClose = true, bufferLimitBytes = 0, reads = true } = options;
  const [atClient, atServer] = [new Seen(), new Seen()];
  let server!: InternalConnection;
  const passthrough = { metadata: { a: { b: 'c' } }, filterState: null };
  const accept = (_listener: string, connection: InternalConnection): boolean => {
    server = connection;
    server.callbacks = atServer;
    server.enableHalfClose(halfClose);
    if (reads) server.startReading();
    return true;
  };
  const client = connectInternal({ address, passthrough, bufferLimitBytes, callbacks: atClient, accept });
  client.enableHalfClose(halfClose);
  while (client.state === 'connecting') await nextTurn();
  return { client, server, atClient, atServer };
}

/** Until everything that was set in motion is over. */
async function settle(): Promise<void> {
  for (let i = 0; i < 4; i++) await nextTurn();
}

t.test('a connection knows where it goes and what came along', async t => {
  const { client, server, atClient } = await connectPair();
  t.strictSame(atClient.events, ['connected']);
  t.strictSame(server.info.localAddress, address);
  t.strictSame(client.info.remoteAddress, address);
  t.strictSame(server.info.passthrough?.metadata, { a: { b: 'c' } });
  t.equal(client.info.passthrough, null);
});

t.test('bytes are handed over when the event ends, without a copy', async t => {
  const { client, atServer } = await connectPair();
  const data = Buffer.from('bytes');
  client.write(data, false);
  t.strictSame(atServer.events, []);
  await settle();
  t.equal(atServer.data[0], data);
});

t.test('what a paused reader leaves is copied, and read when it goes on', async t => {
  const { client, server, atServer } = await connectPair({ reads: false });
  const data = Buffer.from('first');
  client.write(data, false);
  await settle();
  data.write('other');
  t.strictSame(atServer.events, []);
  server.startReading();
  await settle();
  t.strictSame(atServer.events, ['first']);
});

t.test('a paused reader holds up the writer', async t => {
  const { client, server, atClient } = await connectPair({ bufferLimitBytes: 100, reads: false });
  client.write(Buffer.alloc(101), false);
  await settle();
  t.strictSame(atClient.events, ['connected', 'above']);
  t.equal(client.bufferedBytes, 101);
  server.startReading();
  await settle();
  t.strictSame(atClient.events, ['connected', 'above', 'below']);
  t.equal(client.bufferedBytes, 0);
});

t.test('each direction ends for itself, and the connection with the second', async t => {
  const { client, server, atClient, atServer } = await connectPair();
  client.write(Buffer.from('a'), true);
  await settle();
  t.strictSame(atServer.events, ['a', 'end']);
  server.write(Buffer.from('b'), false);
  server.write(Buffer.alloc(0), true);
  await settle();
  t.strictSame(atClient.events, ['connected', 'b', 'end', 'remote-close']);
  t.strictSame(atServer.events, ['a', 'end', 'local-close']);
});

t.test('who closes without having read the end resets its peer, which first reads what was written', async t => {
  const { client, server, atServer } = await connectPair();
  client.write(Buffer.from('last'), false);
  client.close('no-flush');
  await settle();
  t.strictSame(atServer.events, ['last', 'remote-reset']);
  t.equal(server.state, 'closed');
});

t.test('a peer that knows no half closes sees a plain close', async t => {
  const { client, atServer } = await connectPair({ halfClose: false });
  client.close('abort-reset');
  await settle();
  t.strictSame(atServer.events, ['remote-close']);
});

t.test('an end is an end also for who closes afterwards', async t => {
  const { client, server, atServer, atClient } = await connectPair();
  client.write(Buffer.alloc(0), true);
  await settle();
  server.close('no-flush');
  await settle();
  t.strictSame(atServer.events, ['end', 'local-close']);
  t.strictSame(atClient.events, ['connected', 'end', 'remote-close']);
});

t.test('a listener that is not there, or ends the connection at once, refuses', async t => {
  const refuse = async (accept: (listener: string, connection: InternalConnection) => boolean): Promise<string> => {
    const seen = new Seen();
    const client = connectInternal({ address, passthrough: null, bufferLimitBytes: 0, callbacks: seen, accept });
    t.strictSame(seen.events, [], 'nothing happens during the call');
    while (client.state === 'connecting') await nextTurn();
    t.strictSame(seen.events, ['remote-close']);
    return client.info.transportFailureReason;
  };
  const immediate = 'immediate connect error: Invalid argument|remote address:envoy://inside/one';
  t.equal(await refuse(() => false), immediate);
  t.equal(
    await refuse((_listener, connection) => {
      connection.close('no-flush');
      return true;
    }),
    immediate,
  );
  const delayed = await refuse((_listener, connection) => {
    queueMicrotask(() => connection.close('no-flush'));
    return true;
  });
  t.equal(delayed, 'delayed connect error: Invalid argument');
});

t.test('a connection that is given up before it is made says nothing', async t => {
  const seen = new Seen();
  let accepted = false;
  const accept = (): boolean => {
    accepted = true;
    return true;
  };
  connectInternal({ address, passthrough: null, bufferLimitBytes: 0, callbacks: seen, accept }).close('no-flush');
  await settle();
  t.strictSame(seen.events, ['local-close']);
  t.notOk(accepted);
});
