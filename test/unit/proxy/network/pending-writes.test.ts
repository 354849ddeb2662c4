import { Writable } from 'node:stream';
import t from 'tap';
import { PendingWrites } from '../../../../proxy/network/pending-writes.ts';

/** Collects the pieces of each call that reaches the socket. */
class Sink extends Writable {
  readonly calls: string[][] = [];
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.calls.push([chunk.toString('latin1')]);
    done();
  }
  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    this.calls.push(chunks.map(({ chunk }) => chunk.toString('latin1')));
    done();
  }
}

t.test('a head and a short body are one piece', async t => {
  const pending = new PendingWrites();
  const sink = new Sink();
  pending.addLatin1('head ');
  pending.add(Buffer.from('b\u00f6dy', 'latin1'));
  pending.addLatin1(' end');
  t.equal(pending.bytes, 13);
  pending.passTo(sink);
  t.strictSame(sink.calls, [['head b\u00f6dy end']]);
  t.equal(pending.bytes, 0);
});

t.test('a long body is not copied, and the order stays', async t => {
  const pending = new PendingWrites();
  const sink = new Sink();
  const long = 'x'.repeat(5000);
  pending.add(Buffer.from('first '));
  pending.addLatin1('head ');
  pending.add(Buffer.from(long));
  pending.add(Buffer.from(' more'));
  pending.addLatin1(' end');
  pending.passTo(sink);
  t.strictSame(sink.calls, [['first ', 'head ', long, ' more', ' end']]);
});

t.test('one buffer goes out as it is, and nothing is written twice', async t => {
  const pending = new PendingWrites();
  const sink = new Sink();
  pending.add(Buffer.from('one'));
  pending.passTo(sink);
  pending.passTo(sink);
  pending.addLatin1('two');
  pending.passTo(sink);
  t.strictSame(sink.calls, [['one'], ['two']]);
});
