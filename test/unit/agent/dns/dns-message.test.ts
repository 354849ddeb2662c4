import t from 'tap';
import { encodeName, type Question, responseCodes, writeAnswer } from '../../../../agent/dns/dns-message.ts';
import { fitAnswer, isWellFormed, readQuery } from '../../../../agent/dns/dns-query.ts';

type QueryOptions = {
  readonly edns?: number;
  readonly flags?: number;
  readonly questions?: number;
};

function query(name: string, { edns = 0, flags = 0x0100, questions = 1 }: QueryOptions = {}): Buffer {
  const head = Buffer.from([0, 7, flags >> 8, flags & 255, 0, questions, 0, 0, 0, 0, 0, edns === 0 ? 0 : 1]);
  const opt = edns === 0 ? Buffer.alloc(0) : Buffer.from([0, 0, 41, edns >> 8, edns & 255, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([head, encodeName(name), Buffer.from([0, 1, 0, 1]), opt]);
}

function read(bytes: Buffer): Question {
  const question = readQuery(bytes);
  if (question === null || 'refusal' in question) throw new Error('unreadable');
  return question;
}

t.test('reads questions and the size that the client takes', async t => {
  t.match(read(query('a.b')), { id: 7, name: 'a.b.', type: 1, udpBytes: 512 });
  t.match(read(query('a.b', { edns: 4096 })), { udpBytes: 4096 });
  t.match(read(query('a.b', { edns: 100 })), { udpBytes: 512 });
  t.match(read(query('a.b').subarray(0, -2)), { type: 1 }, 'what is cut off between two fields counts as zero');
});

t.test('what is no query is not answered, what cannot be understood is refused with the reason', async t => {
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(11), Buffer.alloc(40, 0xff), query('a.b', { flags: 0x8100 })]) {
    t.equal(readQuery(bytes), null);
  }
  const refusals = [
    ['a name that is cut', query('a.b').subarray(0, 15), '000781010000000000000000'],
    ['two questions', query('a.b', { questions: 2 }), '000781010000000000000000'],
    [
      'a record that is cut',
      query('a.b', { edns: 512, flags: 0x0130 }).subarray(0, -1),
      '00078131000100000000000001610162' + '0000010001',
    ],
    ['a header alone', query('a.b').subarray(0, 12), '000781050000000000000000'],
    ['an update', query('a.b', { flags: 0x2900 }), '0007a9040000000000000000'],
  ] as const;
  for (const [what, bytes, expected] of refusals) {
    t.equal((readQuery(bytes) as { refusal: Buffer }).refusal.toString('hex'), expected, what);
  }
});

t.test('a dot inside of a label is no separator', async t => {
  const inside = Buffer.concat([query('').subarray(0, 12), Buffer.from('\x03a.b\x00\x00\x01\x00\x01', 'latin1')]);
  t.equal(read(inside).name, 'a\\.b.');
});

t.test('an answer from elsewhere is cut after a whole record, or known to be malformed', async t => {
  const record = { name: 'a.b.', type: 1, ttlSeconds: 30, data: Buffer.from([1, 2, 3, 4]) };
  const answer = writeAnswer(read(query('a.b')), [record, record, record], responseCodes.noError, 512);
  t.equal(fitAnswer(answer, answer.length), answer);
  const cut = fitAnswer(answer, answer.length - 1);
  t.equal(cut.length, answer.length - 16);
  t.equal(cut.readUInt16BE(6), 2);
  t.equal(cut[2] & 2, 2);
  t.ok(isWellFormed(cut));
  t.notOk(isWellFormed(answer.subarray(0, -1)));
  t.notOk(isWellFormed(answer.subarray(0, 11)));
});

t.test('the flags of an answer are those of Istio', async t => {
  for (const [flags, expected] of [
    [0x0100, 0x8500],
    [0x0000, 0x8400],
    [0x0130, 0x8510],
  ]) {
    const answer = writeAnswer(read(query('a.b', { flags })), [], responseCodes.noError, 512);
    t.equal(answer.readUInt16BE(2), expected);
  }
  t.equal(writeAnswer(read(query('a.b')), [], responseCodes.serverFailure, 512).readUInt16BE(2), 0x8102);
});

t.test('names are written once: of the question, and of what an alias leads to', async t => {
  const question = read(query('a.b'));
  const address = Buffer.from([1, 2, 3, 4]);
  const alias = { name: 'a.b.', type: 5, ttlSeconds: 30, data: encodeName('real.name.') };
  const records = [alias, { name: 'real.name.', type: 1, ttlSeconds: 30, data: address }];
  const answer = writeAnswer(question, records, responseCodes.noError, 512);
  const aliasAt = 12 + question.bytes.length;
  t.equal(answer.readUInt16BE(aliasAt), 0xc00c);
  const targetAt = aliasAt + 12;
  t.equal(answer.readUInt16BE(targetAt + alias.data.length), 0xc000 | targetAt);
  t.equal(answer.length, targetAt + alias.data.length + 16);
});

t.test('an answer that is too long is cut and says so', async t => {
  const question = read(query('a.b'));
  const record = { name: 'a.b.', type: 1, ttlSeconds: 30, data: Buffer.from([1, 2, 3, 4]) };
  const full = writeAnswer(question, [record, record], responseCodes.noError, 512);
  t.equal(full.readUInt16BE(6), 2);
  t.equal(full[2] & 2, 0);
  const many = Array.from({ length: 50 }, () => record);
  const cut = writeAnswer(question, many, responseCodes.noError, 512);
  t.equal(cut.readUInt16BE(6), 30);
  t.ok(cut.length <= 512);
  t.equal(cut[2] & 2, 2);
});
