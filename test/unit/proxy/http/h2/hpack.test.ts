import t from 'tap';
import { HpackDecoder } from '../../../../../proxy/http/h2/hpack-decoder.ts';
import { HpackEncoder } from '../../../../../proxy/http/h2/hpack-encoder.ts';
import { decodeHuffman, encodeHuffman, huffmanLength } from '../../../../../proxy/http/h2/huffman-code.ts';
import { Random } from '../../../../support/random.ts';

function decode(decoder: HpackDecoder, hex: string): string[] | 'malformed' {
  const block = Buffer.from(hex.replaceAll(' ', ''), 'hex');
  const fields: string[] = [];
  decoder.beginBlock();
  const end = decoder.decode(block, 0, block.length, { onField: (name, value) => fields.push(`${name.text}: ${value}`) }, true);
  return end === block.length ? fields : 'malformed';
}

t.test('decodes the requests of RFC 7541, appendix C.3 and C.4, with the table between them', async t => {
  const first = [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'];
  const second = [...first, 'cache-control: no-cache'];
  const third = [
    ':method: GET',
    ':scheme: https',
    ':path: /index.html',
    ':authority: www.example.com',
    'custom-key: custom-value',
  ];
  const plain = new HpackDecoder(4096);
  t.same(decode(plain, '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d'), first);
  t.same(decode(plain, '8286 84be 5808 6e6f 2d63 6163 6865'), second);
  t.same(decode(plain, '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65'), third);
  const coded = new HpackDecoder(4096);
  t.same(decode(coded, '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff'), first);
  t.same(decode(coded, '8286 84be 5886 a8eb 1064 9cbf'), second);
  t.same(decode(coded, '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf'), third);
});

t.test('decodes the responses of appendix C.6, whose fields push each other out of a table of 256 bytes', async t => {
  const decoder = new HpackDecoder(256);
  const date = 'date: Mon, 21 Oct 2013 20:13:21 GMT';
  const location = 'location: https://www.example.com';
  t.same(
    decode(
      decoder,
      '4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3',
    ),
    [':status: 302', 'cache-control: private', date, location],
  );
  t.same(decode(decoder, '4883 640e ffc1 c0bf'), [':status: 307', 'cache-control: private', date, location]);
  t.same(
    decode(
      decoder,
      '88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07',
    ),
    [
      ':status: 200',
      'cache-control: private',
      'date: Mon, 21 Oct 2013 20:13:22 GMT',
      location,
      'content-encoding: gzip',
      'set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1',
    ],
  );
});

t.test('refuses what no encoder may send', async t => {
  const broken = {
    'index 0': '80',
    'an index beyond both tables': 'be',
    'a string that ends beyond the block': '00 05 61',
    'an integer of more bytes than any table needs': '7f ff ff ff ff ff 01',
    'a size update behind a field': '82 20',
    'a size beyond what was allowed': '3f e2 1f',
    'padding of zeros': '00 01 61 81 00',
    'padding of a whole byte': '00 01 61 82 1f ff',
    'the end of string as a symbol': '00 01 61 84 ff ff ff ff',
    'a string above the limit': '00 7f 82 ff 03',
  };
  for (const [what, hex] of Object.entries(broken)) t.equal(decode(new HpackDecoder(4096), hex), 'malformed', what);
});

t.test('a table that was shrunk by settings is out of reach until the peer says so too', async t => {
  const decoder = new HpackDecoder(4096);
  t.same(decode(decoder, '4001 6101 62'), ['a: b']);
  decoder.allowTableBytes(0);
  t.equal(decode(decoder, 'be'), 'malformed');
  t.same(decode(decoder, '20 82'), [':method: GET']);
  t.equal(decode(decoder, 'be'), 'malformed');
});

t.test('a fragment is decoded up to its last whole field', async t => {
  const decoder = new HpackDecoder(4096);
  const fields: string[] = [];
  const sink = { onField: (name: { text: string }, value: string) => fields.push(`${name.text}: ${value}`) };
  const block = Buffer.from('82860003616263036465', 'hex');
  decoder.beginBlock();
  t.equal(decoder.decode(block, 0, block.length, sink, false), 2);
  t.same(fields, [':method: GET', ':scheme: http']);
});

t.test('Huffman: every byte survives, and lengths are known beforehand', async t => {
  const random = new Random(1);
  for (let i = 0; i < 500; i++) {
    const text = Array.from({ length: random.below(40) }, () => String.fromCharCode(random.below(256))).join('');
    const out = Buffer.alloc(400);
    const end = encodeHuffman(text, out, 3);
    if (end - 3 !== huffmanLength(text) || decodeHuffman(out, 3, end) !== text)
      t.fail(`${JSON.stringify(text)} came back different`);
  }
});

function encodeBlock(encoder: HpackEncoder, fields: readonly (readonly [string, string])[]): Buffer {
  const out = Buffer.alloc(100_000);
  let at = encoder.beginBlock(out, 0);
  for (const [name, value] of fields) at = encoder.encode(name, value, out, at);
  return out.subarray(0, at);
}

t.test('what repeats costs a byte, of what changes with each message only the name is indexed, secrets never are', async t => {
  const encoder = new HpackEncoder(4096);
  const request = (id: string) =>
    encodeBlock(encoder, [
      [':method', 'GET'],
      ['x-team', 'payments'],
      ['x-request-id', id],
      ['authorization', 'Bearer s'],
    ]);
  request('a-b-c');
  const again = request('d-e-f');
  t.equal(again[0], 0x82);
  t.equal(again[1], 0xbf);
  t.equal(again[2] & 0xf0, 0x00, 'literal without indexing');
  t.ok(again.includes('d-e-f'));
  t.notOk(again.includes('x-request'));
  t.equal(again[again.indexOf('Bearer s') - 3] & 0xf0, 0x10, 'never indexed');
});

t.test('the announced size of the table goes down to the smallest that the peer asked for', async t => {
  const encoder = new HpackEncoder(4096);
  encoder.setPeerLimit(0);
  encoder.setPeerLimit(4096);
  t.equal(encodeBlock(encoder, []).toString('hex'), '203fe11f');
  t.equal(encodeBlock(encoder, []).length, 0);
  encoder.setPeerLimit(100);
  encoder.setPeerLimit(1_000_000);
  t.equal(encodeBlock(encoder, []).toString('hex'), '3f453fe11f', 'not above our own limit');
});

t.test('encoder and decoder agree on the table whatever passes through it', async t => {
  const random = new Random(7);
  for (const size of [4096, 200, 64, 0]) {
    const encoder = new HpackEncoder(4096);
    const decoder = new HpackDecoder(4096);
    encoder.setPeerLimit(size);
    const names = ['a', 'b-c', 'cookie', ':path', 'x-request-id', 'content-type', 'x-long'];
    for (let round = 0; round < 300; round++) {
      const fields = Array.from({ length: random.below(12) }, () => {
        const name = random.pick(names);
        return [name, name === 'x-long' ? 'y'.repeat(random.below(300)) : `v${random.below(30)}`] as const;
      });
      const expected = fields.map(([name, value]) => `${name}: ${value}`);
      const decoded = decode(decoder, encodeBlock(encoder, fields).toString('hex'));
      if (JSON.stringify(decoded) !== JSON.stringify(expected)) {
        t.same(decoded, expected, `size ${size}, round ${round}`);
        return;
      }
    }
  }
});
