import t from 'tap';
import { returnBuffer, takeBuffer } from '../../../../proxy/network/buffer-pool.ts';
import { RequestBody } from '../../../../proxy/router/request-body.ts';

const makeData = (bytes: number, seed: number): Buffer => Buffer.from(Array.from({ length: bytes }, (_, i) => i * 7 + seed));

t.test('what is kept is what came, however it was cut', async t => {
  const body = new RequestBody(0);
  const pieces = [1, 4095, 5000, 20_000, 70_000, 131_072, 131_073, 3].map(makeData);
  for (const piece of pieces) body.append(piece);
  t.ok(body.toBuffer().equals(Buffer.concat(pieces)));
});

t.test('data may be overwritten once it was appended', async t => {
  const body = new RequestBody(0);
  const data = Buffer.from('before');
  body.append(data);
  data.write('after!');
  t.equal(body.toBuffer().toString(), 'before');
});

t.test('pieces that were handed out are never used for another body', async t => {
  const body = new RequestBody(0);
  body.append(makeData(5000, 1));
  const [piece] = body.chunks;
  const before = Buffer.from(piece);
  body.discard();
  for (let i = 0; i < 3; i++) takeBuffer(5000).fill(0);
  t.ok(piece.equals(before));
});

t.test('memory of which nobody knows is used again', async t => {
  const memory = takeBuffer(5000);
  returnBuffer(memory);
  const body = new RequestBody(0);
  body.append(makeData(5000, 1));
  t.not(takeBuffer(5000), memory, 'the body has it');
  body.discard();
  t.ok(body.isEmpty);
  t.same(body.chunks, []);
  t.equal(takeBuffer(5000), memory);
});

t.test('the limit counts bytes, and 0 is none', async t => {
  const body = new RequestBody(10);
  body.append(makeData(9, 1));
  t.notOk(body.isFull);
  t.notOk(body.wouldOverflow(1));
  t.ok(body.wouldOverflow(2));
  body.append(makeData(1, 1));
  t.ok(body.isFull);
  t.notOk(new RequestBody(0).wouldOverflow(1e9));
});
