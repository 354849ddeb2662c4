import { setFlagsFromString } from 'node:v8';
import t from 'tap';
import { hashName, internName } from '../../../../proxy/http/h1/header-names.ts';
import { internFieldName } from '../../../../proxy/http/h2/field-name.ts';
import { internHeaderName } from '../../../../proxy/http/header-name.ts';

setFlagsFromString('--allow-natives-syntax');
const isInternalized = new Function('text', 'return %IsInternalizedString(text)') as (text: string) => boolean;

/** Text that V8 has not seen as a name: made of bytes at run time. */
function fromWire(text: string): string {
  return Buffer.from(text).toString('latin1');
}

const names = [
  'Host',
  'User-Agent',
  'X-From-This-Test-Only',
  'a',
  '7',
  '42',
  '__proto__',
  'constructor',
  '',
  `x-${'long'.repeat(50)}`,
];

t.test('a name is the one string that V8 keeps for its text, in lower case', async t => {
  t.notOk(isInternalized(fromWire('x-as-it-arrives')), 'what arrives is not');
  for (const name of names) {
    const interned = internHeaderName(fromWire(name));
    t.equal(interned, name.toLowerCase());
    if (!/^\d+$/.test(name)) t.ok(isInternalized(interned), name);
  }
});

t.test('names of both protocols are the same strings', async t => {
  for (const name of names.filter(name => name !== '')) {
    const bytes = Buffer.from(name);
    const ofHttp1 = internName(bytes, 0, bytes.length, hashName(name.toLowerCase())).text;
    const ofHttp2 = internFieldName(fromWire(name.toLowerCase())).text;
    t.equal(ofHttp1, ofHttp2);
    if (/^\d+$/.test(name)) continue;
    t.ok(isInternalized(ofHttp1), `${name} of HTTP/1`);
    t.ok(isInternalized(ofHttp2), `${name} of HTTP/2`);
  }
});

t.test('a name that shares the place of a known one is made once, too', async t => {
  const place = (name: string): number => hashName(name) & 2047;
  const find = (text: string) => internName(Buffer.from(text), 0, text.length, hashName(text));
  let found = 0;
  for (let number = 0; found < 5; number++) {
    const name = `x-custom-${number}`;
    if (place(name) !== place('host')) continue;
    found++;
    t.equal(find(name), find(name), name);
    t.equal(find('host').text, 'host');
  }
});
