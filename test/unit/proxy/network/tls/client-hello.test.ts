import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import t from 'tap';
import { parseClientHello } from '../../../../../proxy/network/tls/client-hello.ts';

/** The hello that Node's client sends. */
async function captureHello(options: tls.ConnectionOptions): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const server = net.createServer(socket => socket.on('data', (data: Buffer) => chunks.push(data)).on('error', () => {}));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = tls.connect({ port: (server.address() as net.AddressInfo).port, host: '127.0.0.1', ...options });
  client.on('error', () => {});
  const [socket] = (await once(server, 'connection')) as [net.Socket];
  while (parseClientHello(Buffer.concat(chunks)).kind === 'incomplete') await once(socket, 'data');
  client.destroy();
  server.close();
  return Buffer.concat(chunks);
}

/** The same handshake bytes in records of `size`. */
function splitRecords(hello: Buffer, size: number): Buffer {
  const body = hello.subarray(5);
  const parts: Buffer[] = [];
  for (let i = 0; i < body.length; i += size) {
    const part = body.subarray(i, i + size);
    parts.push(Buffer.from([22, 3, 1, part.length >> 8, part.length & 255]), part);
  }
  return Buffer.concat(parts);
}

const expected = { kind: 'hello', serverName: 'a.example', alpnProtocols: ['istio-http/1.1', 'h2'] };
const names = { servername: 'A.example', ALPNProtocols: ['istio-http/1.1', 'h2'] };

t.test('name and protocols are found only when the hello is whole, at every split', async t => {
  const hello = await captureHello({ ...names, ecdhCurve: 'X25519:P-256' });
  for (let i = 0; i < hello.length; i++) t.equal(parseClientHello(hello.subarray(0, i)).kind, 'incomplete', `${i} bytes`);
  t.same(parseClientHello(hello), expected);
});

t.test('a hello with a post-quantum key share is longer than one kilobyte and is read', async t => {
  const hello = await captureHello({ ...names, ecdhCurve: 'X25519MLKEM768' });
  t.ok(hello.length > 1024);
  t.same(parseClientHello(hello), expected);
});

t.test('a hello may be spread over many records', async t => {
  const hello = await captureHello(names);
  for (const size of [1, 3, 100]) t.same(parseClientHello(splitRecords(hello, size)), expected);
});

t.test('a hello without name and protocols has neither', async t => {
  t.same(parseClientHello(await captureHello({})), { kind: 'hello', serverName: '', alpnProtocols: [] });
});

t.test('other protocols are told by their first bytes', async t => {
  for (const text of ['GET / HTTP/1.1', 'SSH-2.0', '\x16\x02', '\x16\x03\x01\x00\x00', '\x17']) {
    t.equal(parseClientHello(Buffer.from(text, 'latin1')).kind, 'not-tls', JSON.stringify(text));
  }
});

t.test('a hello cut short inside its extensions is malformed, not awaited', async t => {
  const hello = Buffer.from(await captureHello(names));
  // The extensions claim to be longer than the message.
  const sessionId = hello[43];
  const ciphers = 44 + sessionId;
  const extensions = ciphers + 2 + hello.readUInt16BE(ciphers) + 2;
  hello.writeUInt16BE(0xffff, extensions);
  t.equal(parseClientHello(hello).kind, 'not-tls');
});
