/**
 * TLS in both roles and versions with a peer whose records are damaged, lost, doubled or reordered on the way: nothing is thrown,
 * nothing is called after the end, and what is delivered is what the peer wrote, up to the damage.
 */
import type net from 'node:net';
import t from 'tap';
import type { SslDelegate } from '../../proxy/network/tls/ssl-callbacks.ts';
import { SslContext, type SslContextOptions } from '../../proxy/network/tls/ssl-context.ts';
import { SslSession } from '../../proxy/network/tls/ssl-session.ts';
import { TlsStream } from '../../proxy/network/tls/tls-stream.ts';
import { fuzzPlan, Random } from '../support/random.ts';
import { authority, ourCertificate, peerCertificate } from '../support/tls-pair.ts';

const { seed, count } = fuzzPlan(2500);
const random = new Random(seed);

function createContext(role: 'server' | 'client', version: 'TLSv1.2' | 'TLSv1.3'): SslContext {
  const { certificate: chain, privateKey } = role === 'server' ? ourCertificate : peerCertificate;
  const common: Omit<SslContextOptions, 'role'> = {
    certificate: { chain, privateKey, password: null },
    trustedCa: authority.rootCertificate,
    crl: null,
    ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256',
    groups: 'X25519:P-256',
    minVersion: version,
    maxVersion: version,
    sessionIdContext: 'x',
    ticketKeys: null,
    sessionTimeoutSeconds: 0,
  };
  return new SslContext({ ...common, role });
}

const contexts = (['TLSv1.2', 'TLSv1.3'] as const).map(version => ({
  server: createContext('server', version),
  client: createContext('client', version),
}));

const judge: SslDelegate = {
  verifiesChain: true,
  alpnProtocols: ['h2', 'http/1.1'],
  verifyPeer: (_peer, chainError) => (chainError === 0 ? null : 48),
  keepSession: () => false,
};

function createSession(role: 'server' | 'client', context: SslContext): SslSession {
  const { pointer } = context;
  if (role === 'server') return new SslSession({ role, context: pointer, delegate: judge, peerCertificate: 'required' });
  const alpnOffer = Buffer.from('\x02h2\x08http/1.1');
  return new SslSession({ role, context: pointer, delegate: judge, peerCertificate: 'asked', serverName: 'a.test', alpnOffer });
}

/** Our side of a connection, with no socket below. */
class Endpoint {
  readonly stream: TlsStream;
  /** Ciphertext for the peer. */
  sent: Buffer[] = [];
  received = Buffer.alloc(0);
  isOpen = false;
  isOver = false;
  closedItself = false;
  callsAfterEnd = 0;
  readonly #target = Buffer.alloc(5000);

  constructor(role: 'server' | 'client', context: SslContext) {
    const raw = {
      ...{ destroyed: false, writableEnded: false, writableLength: 0, pause() {}, resume() {}, end() {} },
      write: (data: Buffer) => this.sent.push(Buffer.from(data)),
    };
    const finish = (): void => {
      if (this.isOver) this.callsAfterEnd++;
      this.isOver = true;
      this.stream.free();
    };
    const close = (): void => {
      this.closedItself = true;
      finish();
    };
    const sink = {
      nextPlaintextBuffer: () => this.#target,
      onPlaintext: (bytes: number) => {
        if (this.isOver || !this.isOpen) this.callsAfterEnd++;
        this.received = Buffer.concat([this.received, this.#target.subarray(0, bytes)]);
        if (random.chance(0.02)) close();
      },
      onTlsEnd: finish,
    };
    this.stream = new TlsStream(raw as unknown as net.Socket, createSession(role, context), sink, {
      onHandshakeDone: () => {
        this.isOpen = true;
        if (random.chance(0.02)) close();
        else if (random.chance(0.5)) this.stream.writer.write(Buffer.alloc(random.below(3000), 1));
      },
      onTlsFailure: finish,
      onSocketError: finish,
    });
    if (role === 'client') this.stream.start();
  }
}

/** The records of these bytes, and what is left of one. */
function splitRecords(bytes: Buffer): Buffer[] {
  const records: Buffer[] = [];
  for (let offset = 0; offset < bytes.length; ) {
    const end = offset + 5 <= bytes.length ? offset + 5 + bytes.readUInt16BE(offset + 3) : bytes.length;
    records.push(bytes.subarray(offset, end));
    offset = end;
  }
  return records;
}

/** One thing that goes wrong on the way. */
function damage(bytes: Buffer): Buffer {
  const records = splitRecords(bytes).map(record => Buffer.from(record));
  const at = random.below(records.length);
  const record = records[at];
  const position = random.chance(0.3) ? random.below(Math.min(12, record.length)) : random.below(record.length);
  const edits: readonly (() => void)[] = [
    () => void (record[position] ^= 1 << random.below(8)),
    () => void (record[position] = random.pick([0, 1, 0x7f, 0x80, 0xff])),
    () => records.splice(at, 1),
    () => records.splice(at, 0, records[random.below(records.length)]),
    () => records.reverse(),
    () => void (records[at] = record.subarray(0, position)),
    () => void (records[at] = Buffer.concat([record.subarray(0, position), record])),
    () =>
      records.splice(at, 0, Buffer.from([random.pick([20, 21, 22, 23, 24, 99]), 3, random.below(5), 0, random.below(3), 0, 0])),
    () => records.splice(at, 0, Buffer.from([21, 3, 3, 0, 2, random.pick([1, 2]), random.below(120)])),
    () => records.splice(at, 0, Buffer.from([random.pick([22, 23]), 3, 3, 0, 0])),
  ];
  random.pick(edits)();
  return Buffer.concat(records);
}

const scratch = Buffer.alloc(65_536);

function takeOutput(session: SslSession): Buffer {
  const parts: Buffer[] = [];
  for (let length = 0; (length = session.takeOutput(scratch, scratch.length)) > 0; )
    parts.push(Buffer.from(scratch.subarray(0, length)));
  return Buffer.concat(parts);
}

function deliver(ours: Endpoint, bytes: Buffer): void {
  const whole = random.chance(0.5);
  for (let offset = 0; offset < bytes.length && !ours.isOver; ) {
    const length = whole ? bytes.length : 1 + random.below(random.chance(0.5) ? 10 : 2000);
    const part = bytes.subarray(offset, offset + length);
    ours.stream.receive(part, part.length);
    if (random.chance(0.05)) {
      ours.stream.pause();
      ours.stream.resume();
    }
    offset += length;
  }
}

/** A connection; the peer is damaged in flight `damaged`, or (negative) not at all. */
async function converse(damaged: number): Promise<{ ours: Endpoint; written: Buffer }> {
  const { server, client } = random.pick(contexts);
  const isServer = random.chance(0.5);
  const ours = new Endpoint(isServer ? 'server' : 'client', isServer ? server : client);
  const peer = createSession(isServer ? 'client' : 'server', isServer ? client : server);
  let written = Buffer.alloc(0);
  let isPeerOpen = false;
  for (let flight = 0; flight < 6; flight++) {
    const toPeer = Buffer.concat(ours.sent);
    ours.sent = [];
    peer.feed(toPeer, toPeer.length);
    if (!isPeerOpen) isPeerOpen = peer.shakeHands() === 1;
    else peer.read(scratch, scratch.length);
    if (isPeerOpen) {
      const data = Buffer.from(Array.from({ length: 1 + random.below(300) }, () => random.below(256)));
      if (peer.write(data, data.length)) written = Buffer.concat([written, data]);
      if (flight === 5) peer.shutdown();
    }
    const bytes = takeOutput(peer);
    if (bytes.length > 0) deliver(ours, flight === damaged ? damage(bytes) : bytes);
    // What was put off until reading goes on.
    await Promise.resolve();
    if (ours.isOver) break;
  }
  ours.stream.onEnd();
  ours.stream.free();
  peer.free();
  return { ours, written };
}

t.test(`damaged records, seed ${seed}`, { timeout: 600_000 }, async t => {
  let opened = 0;
  for (let i = 0; i < count; i++) {
    const { ours, written } = await converse(random.below(7) - 1);
    if (ours.isOpen) opened++;
    const isRight = ours.received.equals(written.subarray(0, ours.received.length));
    if (!isRight || ours.callsAfterEnd > 0)
      t.fail(`input ${i}: ${ours.received.length} of ${written.length} bytes, ${ours.callsAfterEnd}`);
  }
  t.ok(opened > count / 10 && opened < count, `${opened} of ${count} were opened`);
});

t.test('without damage everything arrives', async t => {
  for (let i = 0; i < 50; i++) {
    const { ours, written } = await converse(-1);
    // But for who closed before.
    t.ok(ours.received.equals(written) || ours.closedItself);
  }
});
