import t from 'tap';
import { Base64Decoder } from '../../../../../../../proxy/extensions/filters/http/grpc-web/base64-decoder.ts';
import {
  encodeTrailersFrame,
  FrameSplitter,
} from '../../../../../../../proxy/extensions/filters/http/grpc-web/message-frames.ts';

const frame = (text: string): Buffer => Buffer.concat([Buffer.from([0, 0, 0, 0, text.length]), Buffer.from(text)]);

t.test('frames come out whole, however the bytes are split', async t => {
  const frames = [frame('hello'), frame(''), frame('a longer message')];
  const bytes = Buffer.concat(frames);
  for (let size = 1; size <= bytes.length; size++) {
    const splitter = new FrameSplitter();
    const found: Buffer[] = [];
    // Every piece in the same buffer, as reads are.
    const piece = Buffer.alloc(size);
    for (let at = 0; at < bytes.length; at += size) {
      const length = bytes.copy(piece, 0, at, at + size);
      found.push(...splitter.push(piece.subarray(0, length)).map(each => Buffer.from(each)));
    }
    t.same(found, frames, `${size} bytes at a time`);
  }
});

t.test('trailers become a frame with a flag of its own', async t => {
  t.same(
    encodeTrailersFrame(['grpc-status', '0', 'x', 'y']),
    Buffer.concat([Buffer.from([0x80, 0, 0, 0, 20]), Buffer.from('grpc-status:0\r\nx:y\r\n')]),
  );
});

t.test('text is decoded however it is split, padding between messages included', async t => {
  const messages = ['hello', 'hi', 'abc'];
  const text = Buffer.from(messages.map(message => Buffer.from(message).toString('base64')).join(''));
  for (let size = 1; size <= text.length; size++) {
    const decoder = new Base64Decoder();
    let found = '';
    for (let at = 0; at < text.length; at += size) {
      const decoded = decoder.push(text.subarray(at, at + size), at + size >= text.length);
      found += decoded.kind === 'bytes' ? decoded.bytes.toString() : `[${decoded.kind}]`;
    }
    t.equal(found, messages.join(''), `${size} characters at a time`);
  }
});

t.test('text that is no Base64, or ends too early, is told', async t => {
  for (const text of ['????', 'aa=a', '====', 'a===']) {
    t.equal(new Base64Decoder().push(Buffer.from(text), true).kind, 'invalid', text);
  }
  t.equal(new Base64Decoder().push(Buffer.from('aGVsb'), true).kind, 'incomplete');
  t.same(new Base64Decoder().push(Buffer.alloc(0), true), { kind: 'bytes', bytes: Buffer.alloc(0) });
});
