import t from 'tap';
import { RecordCounter } from '../../../../../proxy/network/tls/record-counter.ts';

function record(length: number): Buffer {
  return Buffer.concat([Buffer.from([23, 3, 3, length >> 8, length & 0xff]), Buffer.alloc(length, 23)]);
}

t.test('records end where they end, however they arrive', async t => {
  const stream = Buffer.concat([record(1), record(0), record(300), record(16_640), record(5)]);
  for (const step of [1, 2, 3, 5, 7, 300, 16_384, stream.length]) {
    const counter = new RecordCounter();
    let ended = 0;
    for (let at = 0; at < stream.length; at += step) ended += counter.count(stream, at, Math.min(at + step, stream.length));
    t.equal(ended, 5, `in steps of ${step}`);
  }
});

t.test('a record that has only begun is not counted', async t => {
  const counter = new RecordCounter();
  const bytes = Buffer.concat([record(10), record(10)]);
  t.equal(counter.count(bytes, 0, bytes.length - 1), 1);
  t.equal(counter.count(bytes, bytes.length - 1, bytes.length), 1);
});
