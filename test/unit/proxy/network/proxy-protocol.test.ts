import t from 'tap';
import { encodeProxyHeader } from '../../../../proxy/network/proxy-protocol.ts';

const at = (address: string, port: number) => ({ kind: 'socket', address, port }) as const;
const v4 = { source: at('10.0.0.1', 1000), destination: at('10.0.0.2', 443) };
const v6 = { source: at('fd00::1', 1000), destination: at('fd00::2', 443) };
const pipe = { kind: 'pipe', path: '/x' } as const;

t.test('the text form', async t => {
  t.equal(encodeProxyHeader('v1', v4).toString(), 'PROXY TCP4 10.0.0.1 10.0.0.2 1000 443\r\n');
  t.equal(encodeProxyHeader('v1', v6).toString(), 'PROXY TCP6 fd00::1 fd00::2 1000 443\r\n');
  t.equal(encodeProxyHeader('v1', { source: pipe, destination: pipe }).toString(), 'PROXY UNKNOWN\r\n');
  t.equal(encodeProxyHeader('v1', null).toString(), 'PROXY UNKNOWN\r\n');
});

t.test('the binary form', async t => {
  const signature = '0d0a0d0a000d0a515549540a';
  t.equal(encodeProxyHeader('v2', v4).toString('hex'), `${signature}2111000c0a0000010a00000203e801bb`);
  const [from, to] = ['1', '2'].map(last => `fd${'0'.repeat(29)}${last}`);
  t.equal(encodeProxyHeader('v2', v6).toString('hex'), `${signature}21210024${from}${to}03e801bb`);
  t.equal(encodeProxyHeader('v2', { source: pipe, destination: pipe }).toString('hex'), `${signature}20000000`);
  t.equal(encodeProxyHeader('v2', null).toString('hex'), `${signature}20000000`);
});
