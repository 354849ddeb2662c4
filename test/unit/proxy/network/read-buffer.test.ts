import t from 'tap';
import { ReadBuffer } from '../../../../proxy/network/read-buffer.ts';

const small = 4096;
const medium = 16_384;
const large = 131_072;

/** One read of a text: what the kernel does, and what the connection does with it. */
function read(buffer: ReadBuffer, text: string): Buffer {
  buffer.current.write(text, 'latin1');
  return buffer.take(text.length);
}

function fill(buffer: ReadBuffer): Buffer {
  buffer.current.fill('x');
  return buffer.take(buffer.current.length);
}

t.test('connections that do not read share one buffer', async t => {
  t.equal(new ReadBuffer().current, new ReadBuffer().current);
});

t.test('what came in the shared buffer is safe from the next connection that reads', async t => {
  const [first, second] = [new ReadBuffer(), new ReadBuffer()];
  const data = read(first, 'first');
  read(second, 'other');
  t.equal(data.toString(), 'first');
});

t.test('a seldom read leaves the connection without a buffer, a frequent one earns its own', async t => {
  const buffer = new ReadBuffer();
  const shared = buffer.current;
  read(buffer, 'one');
  t.equal(buffer.advance(3, null, 1000), shared);
  read(buffer, 'two');
  t.equal(buffer.advance(3, null, 1100), shared);
  read(buffer, 'three');
  const own = buffer.advance(5, null, 1199);
  t.not(own, shared);
  t.equal(own.length, small);
  t.equal(buffer.current, own);
  t.equal(read(buffer, 'four').buffer, own.buffer, 'it is not copied any more');
});

t.test('bytes that a pending write points into are not read over', async t => {
  const buffer = new ReadBuffer();
  const kept: Buffer[] = [];
  const holder = { keep: (held: Buffer) => void kept.push(held) };
  const first = read(buffer, 'one');
  buffer.advance(3, holder, 1000);
  const second = read(buffer, 'two');
  buffer.advance(3, holder, 1001);
  read(buffer, 'three');
  t.equal(first.toString(), 'one');
  t.equal(second.toString(), 'two');
  t.equal(kept.length, 2);
  t.equal(kept[0].buffer, first.buffer);
});

t.test('reads that fill the buffer let it grow, small ones shrink it again', async t => {
  const buffer = new ReadBuffer();
  t.equal(fill(buffer).length, medium);
  t.equal(buffer.advance(medium, null, 1000).length, large);
  for (let i = 0; i < 3; i++) {
    read(buffer, 'few');
    t.equal(buffer.advance(3, null, 1001).length, large);
  }
  read(buffer, 'few');
  t.equal(buffer.advance(3, null, 1001).length, small);
});
