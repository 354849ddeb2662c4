import t from 'tap';
import { encodeProxyHeader } from '../../../../proxy/network/proxy-protocol.ts';
import { parseProxyHeader } from '../../../../proxy/network/proxy-protocol-parser.ts';

const at = (address: string, port: number) => ({ kind: 'socket', address, port }) as const;
const v4 = { source: at('10.0.0.1', 1000), destination: at('10.0.0.2', 443) };
const v6 = { source: at('fd00::1', 1000), destination: at('fd00::2', 443) };
const text = (line: string) => parseProxyHeader(Buffer.from(line));
const signature = '0d0a0d0a000d0a515549540a';
const binary = (hex: string) => parseProxyHeader(Buffer.from(signature + hex, 'hex'));
const v4Body = '0a0000010a00000203e801bb';

t.test('what was encoded is read again, whatever follows it', async t => {
  for (const version of ['v1', 'v2'] as const) {
    for (const addresses of [v4, v6, null]) {
      const header = encodeProxyHeader(version, addresses);
      const expected = { kind: 'found', version, length: header.length, addresses };
      t.same(parseProxyHeader(Buffer.concat([header, Buffer.from('GET /')])), expected);
      for (let length = 0; length < header.length; length++) {
        t.equal(parseProxyHeader(header.subarray(0, length)).kind, 'incomplete', `${version}, ${length} bytes of it`);
      }
    }
  }
});

t.test('other bytes are no header', async t => {
  for (const line of ['GET / HTTP/1.1\r\n', 'PROXX', '\r\n\r\n\0\r\nX']) t.equal(text(line).kind, 'absent', line);
});

t.test('the text form is exact', async t => {
  const lines = [
    'PROXY TCP4 10.0.0.1 10.0.0.2 70000 443\r\n',
    'PROXY TCP4 10.0.0.300 10.0.0.2 1000 443\r\n',
    'PROXY TCP4 fd00::1 fd00::2 1000 443\r\n',
    'PROXY TCP4 10.0.0.1 10.0.0.2 1000\r\n',
    'PROXY TCP4 10.0.0.1 10.0.0.2 1000 443 9\r\n',
    'PROXY TCP4  10.0.0.1 10.0.0.2 1000 443\r\n',
    'PROXY UDP4 10.0.0.1 10.0.0.2 1000 443\r\n',
    'PROXY TCP4 10.0.0.1 10.0.0.2 1000 443\n',
    `PROXY TCP4 ${'1'.repeat(120)}`,
  ];
  for (const line of lines) t.same(text(line), { kind: 'malformed', version: 'v1' }, line.trim());
  t.match(text('PROXY UNKNOWN ffff:: ffff:: 1 2\r\n'), { kind: 'found', addresses: null });
});

t.test('the binary form is exact', async t => {
  t.match(binary(`20110 00c${v4Body}`.replace(' ', '')), { kind: 'found', addresses: null }, 'local, with addresses');
  t.match(binary(`21120 00c${v4Body}`.replace(' ', '')), { kind: 'found', addresses: v4 }, 'datagrams');
  t.match(binary(`21110011${v4Body}0400020102`), { kind: 'found', addresses: v4 }, 'with a field');
  const malformed = {
    'field beyond the end': `21110011${v4Body}0400090102`,
    'too short for its addresses': '21110008 0a0000010a000002'.replace(' ', ''),
    'no family': '21000000',
    'Unix socket': `213100d8${'00'.repeat(216)}`,
    'unknown command': `2211000c${v4Body}`,
    'unknown version': `3111000c${v4Body}`,
  };
  for (const [name, hex] of Object.entries(malformed)) t.same(binary(hex), { kind: 'malformed', version: 'v2' }, name);
});
