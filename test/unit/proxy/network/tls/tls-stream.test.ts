/** Bytes over TLS, both roles and versions: nothing is lost, doubled or out of order, whatever stops, splits or ends them. */
import { once } from 'node:events';
import t from 'tap';
import type { CloseEvent, Connection } from '../../../../../proxy/network/connection.ts';
import type { SocketConnection } from '../../../../../proxy/network/socket-connection.ts';
import { Random } from '../../../../support/random.ts';
import { openInternalPair, openPair, type Role, type TlsPair, type Version } from '../../../../support/tls-pair.ts';

const combinations: readonly [Role, Version][] = [
  ['server', 'TLSv1.3'],
  ['server', 'TLSv1.2'],
  ['client', 'TLSv1.3'],
  ['client', 'TLSv1.2'],
];

/** What byte stands at a position of every stream of these tests. */
const pattern = Buffer.alloc(251 * 1024, Buffer.from(Array.from({ length: 251 }, (_, i) => i)));
const patternAt = (position: number, bytes: number): Buffer => pattern.subarray(position % 251, (position % 251) + bytes);
const largestPiece = pattern.length - 251;

class Receiver {
  bytes = 0;
  isRight = true;
  ended = false;
  take(data: Buffer): void {
    for (let offset = 0; offset < data.length; offset += largestPiece) {
      const piece = data.subarray(offset, offset + largestPiece);
      this.isRight &&= piece.equals(patternAt(this.bytes + offset, piece.length));
    }
    this.bytes += data.length;
  }
}

interface Reading {
  readonly received: Receiver;
  readonly closed: Promise<CloseEvent>;
  /** Of each call of a watermark. */
  readonly watermarks: string[];
}

function read(connection: Connection, onBelow: () => void = () => {}, onData: (data: Buffer) => void = () => {}): Reading {
  const received = new Receiver();
  const watermarks: string[] = [];
  connection.enableHalfClose(true);
  const closed = new Promise<CloseEvent>(resolve => {
    connection.callbacks = {
      onData(data, endStream) {
        received.take(data);
        onData(data);
        if (endStream) received.ended = true;
      },
      onClose: resolve,
      onAboveWriteBufferHighWatermark: () => watermarks.push('above'),
      onBelowWriteBufferLowWatermark() {
        watermarks.push('below');
        onBelow();
      },
    };
  });
  return { received, closed, watermarks };
}

/** Writes `total` bytes in random pieces, as fast as the peer takes them; then half closes. */
function writeFrom(connection: Connection, total: number, random: Random): () => void {
  let written = 0;
  const proceed = (): void => {
    while (written < total && connection.bufferedBytes < 400_000) {
      const bytes = Math.min(total - written, random.chance(0.5) ? 1 + random.below(300) : 1 + random.below(70_000));
      const piece = patternAt(written, bytes);
      if (random.chance(0.2)) connection.writeLatin1(piece.toString('latin1'), false);
      else connection.write(Buffer.from(piece), false);
      written += bytes;
      if (random.chance(0.2)) {
        setImmediate(proceed);
        return;
      }
    }
    if (written === total) connection.write(Buffer.alloc(0), true);
    else setTimeout(proceed, 1);
  };
  return proceed;
}

async function writeFromPeer({ theirs }: TlsPair, total: number, random: Random): Promise<void> {
  for (let written = 0; written < total; ) {
    const bytes = Math.min(total - written, random.chance(0.5) ? random.below(300) : random.below(70_000));
    if (random.chance(0.1)) theirs.setMaxSendFragment(512 + random.below(16_384 - 512));
    if (!theirs.write(Buffer.from(patternAt(written, bytes)))) await once(theirs, 'drain');
    else if (random.chance(0.1)) await new Promise(setImmediate);
    written += bytes;
  }
  theirs.end();
}

/** Stops and continues reading at random until the stream ends. */
function toggleReading(connection: Connection, received: Receiver, random: Random): void {
  const step = (): void => {
    if (received.ended || connection.state === 'closed') return;
    const disables = 1 + random.below(2);
    for (let i = 0; i < disables; i++) connection.readDisable(true);
    setTimeout(() => {
      for (let i = 0; i < disables; i++) connection.readDisable(false);
      if (random.chance(0.3)) step();
      else setTimeout(step, random.below(3));
    }, random.below(3));
  };
  step();
}

for (const [role, version] of combinations) {
  for (const isSplit of [false, true]) {
    const total = isSplit ? 3_000_000 : 20_000_000;
    t.test(`${total} bytes each way as ${role}, ${version}${isSplit ? ', cut at random' : ''}`, async t => {
      const random = new Random(total + role.length + Number(isSplit) + version.length);
      const pair = await openPair(role, { version, bufferLimitBytes: 65_536, ...(isSplit ? { split: random } : {}) });
      t.teardown(() => pair.close());
      const { ours, theirs } = pair;
      const { received, closed, watermarks } = read(ours);
      const peer = new Receiver();
      theirs.on('data', (data: Buffer) => peer.take(data));
      const peerEnded = once(theirs, 'end');
      writeFrom(ours, total, random)();
      toggleReading(ours, received, random);
      await writeFromPeer(pair, total, random);
      await Promise.all([peerEnded, closed]);
      t.same([received.bytes, received.isRight, received.ended], [total, true, true], 'from the peer');
      t.same([peer.bytes, peer.isRight], [total, true], 'to the peer');
      t.equal(ours.bytesSent, total);
      t.ok(watermarks.every((call, i) => call === (i % 2 === 0 ? 'above' : 'below')));
    });
  }
}

for (const [role, version] of combinations) {
  t.test(`what arrived while reading was stopped is read before the end that followed it, as ${role}, ${version}`, async t => {
    const pair = await openPair(role, { version });
    t.teardown(() => pair.close());
    const { ours, theirs, socket } = pair;
    const { received, closed } = read(ours, undefined, () => {
      ours.readDisable(true);
      setTimeout(() => ours.readDisable(false), 1);
    });
    socket.cork();
    for (let i = 0; i < 40; i++) theirs.write(patternAt(i * 3000, 3000));
    theirs.end();
    socket.uncork();
    ours.write(Buffer.alloc(0), true);
    theirs.resume();
    await closed;
    t.same([received.bytes, received.isRight, received.ended], [120_000, true, true]);
  });

  t.test(`a FIN without close_notify is the end of the stream, too, as ${role}, ${version}`, async t => {
    const pair = await openPair(role, { version });
    t.teardown(() => pair.close());
    const { ours, theirs, socket } = pair;
    const { received, closed } = read(ours, undefined, () => {
      ours.readDisable(true);
      setTimeout(() => ours.readDisable(false), 1);
    });
    theirs.resume();
    theirs.write(patternAt(0, 100_000), () => socket.end());
    while (!received.ended) await new Promise(setImmediate);
    t.equal(received.bytes, 100_000);
    ours.write(Buffer.from('bye'), true);
    t.equal(await closed, 'local-close');
  });

  t.test(
    `a peer that stops reading raises the high watermark, and gets everything when it goes on, as ${role}, ${version}`,
    async t => {
      const pair = await openPair(role, { version, bufferLimitBytes: 65_536 });
      t.teardown(() => pair.close());
      const { ours, theirs } = pair;
      const below = Promise.withResolvers<void>();
      const { watermarks } = read(ours, below.resolve);
      theirs.pause();
      const total = 16_000_000;
      for (let written = 0; written < total; written += 200_000) ours.write(Buffer.from(patternAt(written, 200_000)), false);
      await new Promise(setImmediate);
      t.same(watermarks, ['above']);
      t.ok(ours.bufferedBytes > 65_536);
      t.equal(ours.bytesReceived, 0);
      theirs.write('x');
      while (ours.bytesReceived === 0) await new Promise(setImmediate);
      const peer = new Receiver();
      theirs.on('data', (data: Buffer) => peer.take(data)).resume();
      await below.promise;
      t.same(watermarks, ['above', 'below']);
      ours.write(Buffer.alloc(0), true);
      await once(theirs, 'end');
      t.same([peer.bytes, peer.isRight], [total, true]);
    },
  );
}

t.test('the end of the socket is noticed behind what waits for a reader', async t => {
  const pair = await openPair('server');
  t.teardown(() => pair.close());
  const { ours, theirs } = pair;
  const paused = Promise.withResolvers<void>();
  const { received } = read(ours, undefined, () => {
    if (received.bytes > 1) return;
    ours.readDisable(true);
    paused.resolve();
  });
  theirs.write(patternAt(0, 1));
  await paused.promise;
  // As a stream does it that keeps what it read for a paused reader.
  const { socket } = ours as SocketConnection;
  theirs.write(patternAt(1, 5000));
  socket.resume();
  while (socket.bytesRead < 5000) await new Promise(setImmediate);
  (ours as SocketConnection).onSocketEnd();
  t.same([received.bytes, received.ended], [1, false]);
  ours.readDisable(false);
  while (!received.ended) await new Promise(setImmediate);
  t.same([received.bytes, received.isRight], [5001, true]);
});

t.test('over an internal connection, too, the end comes behind what was not read yet', async t => {
  for (const stopsForMs of [0, 1, 3]) {
    const { client, server } = await openInternalPair({ bufferLimitBytes: 65_536 });
    const { received, closed } = read(server, undefined, () => {
      server.readDisable(true);
      setTimeout(() => server.readDisable(false), stopsForMs);
    });
    client.enableHalfClose(true);
    client.write(Buffer.from(patternAt(0, 60_000)), false);
    client.write(Buffer.from(patternAt(60_000, 60_000)), true);
    while (!received.ended && server.state !== 'closed') await new Promise(setImmediate);
    t.same([received.bytes, received.isRight], [120_000, true], `stopped for ${stopsForMs} ms`);
    server.write(Buffer.alloc(0), true);
    await closed;
  }
});
