import t from 'tap';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { UnixListener } from '../../../../agent/unix-listener.ts';
import { SdsServer } from '../../../../agent/identity/sds-server.ts';
import type { Secret, SecretManager } from '../../../../agent/identity/secret.ts';
import { decodeMessage, encodeMessage } from '../../../../protos/messages.ts';

type Tap = { teardown(handler: () => void): void };
const path = '/envoy.service.secret.v3.SecretDiscoveryService/';
const passBytes = (bytes: Buffer): Buffer => bytes;

class FakeSecrets implements SecretManager {
  onUpdate: (name: string) => void = () => {};
  generation = 1;
  failing = false;
  async getSecret(name: string): Promise<Secret> {
    if (this.failing) throw new Error('no authority');
    if (name === 'ROOTCA') return { kind: 'roots', name, rootsPem: `roots${this.generation}` };
    return { kind: 'keyPair', name, chainPem: `chain${this.generation}`, keyPem: 'key' };
  }
  close(): void {}
}

async function start(t: Tap) {
  const secrets = new FakeSecrets();
  // The path of a Unix socket has at most 107 bytes.
  const directory = mkdtempSync(join(tmpdir(), 'agent-'));
  const socketPath = join(directory, 'socket');
  const listener = await UnixListener.open(socketPath);
  const server = new SdsServer({ secrets, listener, maxStreams: 100, crlPath: join(directory, 'ca-crl.pem') });
  server.serve();
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
  t.teardown(() => {
    client.close();
    server.close();
    rmSync(directory, { recursive: true });
  });
  const open = () => {
    const stream = client.makeBidiStreamRequest(`${path}StreamSecrets`, passBytes, passBytes, new Metadata());
    const read = () =>
      new Promise<ReturnType<typeof decodeResponse>>(resolve => stream.once('data', bytes => resolve(decodeResponse(bytes))));
    const ended = new Promise<number>(resolve => stream.once('status', status => resolve(status.code)));
    stream.on('error', () => {});
    const request = (names: readonly string[], nonce = '') =>
      stream.write(
        encodeMessage('envoy.service.discovery.v3.DiscoveryRequest', { resource_names: names, response_nonce: nonce }),
      );
    return { stream, read, ended, request };
  };
  return { secrets, client, open, directory };
}

function decodeResponse(bytes: Buffer) {
  const response = decodeMessage('envoy.service.discovery.v3.DiscoveryResponse', bytes);
  const secrets = response.resources.map(any => decodeMessage('envoy.extensions.transport_sockets.tls.v3.Secret', any.value));
  return { nonce: response.nonce, secret: secrets[0] };
}

t.test('serves certificate and roots, and pushes them when they change', async t => {
  const { secrets, open } = await start(t);
  const own = open();
  const reading = own.read();
  own.request(['default']);
  const first = await reading;
  t.equal(first.secret.name, 'default');
  t.equal(Buffer.from(first.secret.tls_certificate?.certificate_chain?.inline_bytes ?? []).toString(), 'chain1');
  const roots = open();
  const readingRoots = roots.read();
  roots.request(['ROOTCA']);
  t.equal(Buffer.from((await readingRoots).secret.validation_context?.trusted_ca?.inline_bytes ?? []).toString(), 'roots1');
  own.request(['default'], first.nonce);
  secrets.generation = 2;
  const pushed = own.read();
  secrets.onUpdate('default');
  t.equal(Buffer.from((await pushed).secret.tls_certificate?.certificate_chain?.inline_bytes ?? []).toString(), 'chain2');
});

t.test('an acknowledgement is not answered, a further name is', async t => {
  const { open } = await start(t);
  const stream = open();
  let reading = stream.read();
  stream.request(['default']);
  const first = await reading;
  reading = stream.read();
  stream.request(['default'], first.nonce);
  stream.request(['default', 'ROOTCA'], first.nonce);
  t.equal((await reading).secret.name, 'ROOTCA');
});

t.test('a secret that cannot be made ends the stream, so that the proxy asks again', async t => {
  const { secrets, open } = await start(t);
  secrets.failing = true;
  const failed = open();
  failed.request(['default']);
  t.equal(await failed.ended, 2);
  secrets.failing = false;
  const again = open();
  const reading = again.read();
  again.request(['default']);
  t.equal((await reading).secret.name, 'default');
});

t.test('delta is not implemented', async t => {
  const { client } = await start(t);
  const stream = client.makeBidiStreamRequest(`${path}DeltaSecrets`, passBytes, passBytes, new Metadata());
  stream.on('error', () => {});
  t.equal(await new Promise(resolve => stream.once('status', status => resolve(status.code))), 12);
});

t.test('the list of revoked certificates is named with the roots once it is there', async t => {
  const { open, secrets, directory } = await start(t);
  const { request, read } = open();
  request(['ROOTCA']);
  t.notOk((await read()).secret.validation_context?.crl);
  const path = join(directory, 'ca-crl.pem');
  writeFileSync(path, 'a list');
  secrets.onUpdate('ROOTCA');
  t.equal((await read()).secret.validation_context?.crl?.filename, path);
});
