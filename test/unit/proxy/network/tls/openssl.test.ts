import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { clearOpenSslErrors, loadOpenSsl, takeOpenSslError } from '../../../../../proxy/network/tls/openssl.ts';
import { ownCommand } from '../../../../support/proxy-process.ts';

t.test('a function that this Node does not export is named', async t => {
  const prototypes = { present: 'void ERR_clear_error()', absent: 'int SSL_no_such_function(int64_t ssl)' };
  t.throws(() => loadOpenSsl(prototypes), {
    message: /^cannot call OpenSSL's SSL_no_such_function: Node v[\d.]+ was built without exporting its OpenSSL/,
  });
});

t.test('the oldest error is the one that is told, and none stays', async t => {
  const { readKey, newBio, memory } = loadOpenSsl<{
    memory(): number;
    newBio(method: number): number;
    readKey(bio: number, into: number, callback: number, password: Buffer): number;
  }>({
    memory: 'int64_t BIO_s_mem()',
    newBio: 'int64_t BIO_new(int64_t method)',
    readKey: 'int64_t PEM_read_bio_PrivateKey(int64_t bio, int64_t into, int64_t callback, const void *password)',
  });
  t.equal(takeOpenSslError(), null);
  t.equal(readKey(newBio(memory()), 0, 0, Buffer.from('\0')), 0);
  t.not(takeOpenSslError(), null);
  t.equal(takeOpenSslError(), null);
  t.equal(readKey(newBio(memory()), 0, 0, Buffer.from('\0')), 0);
  clearOpenSslErrors();
  t.equal(takeOpenSslError(), null);
});

t.test('a proxy does not start on a Node whose OpenSSL cannot be called, and says so', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'openssl-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const [bootstrap, preload] = [join(folder, 'bootstrap.json'), join(folder, 'preload.cjs')];
  writeFileSync(bootstrap, JSON.stringify({ node: { id: 'x', cluster: 'x' }, static_resources: {} }));
  writeFileSync(
    preload,
    `const Module = require('node:module');
     const load = Module._load;
     const without = name => prototype => {
       if (prototype.includes(name)) throw new Error('Cannot find function ' + name);
     };
     Module._load = (name, ...rest) => {
       const loaded = load(name, ...rest);
       if (name !== 'koffi') return loaded;
       return { ...loaded, load: (...path) => {
         const library = loaded.load(...path);
         const check = without('SSL_new(');
         return { func: prototype => (check(prototype), library.func(prototype)) };
       } };
     };`,
  );
  const { command, args } = ownCommand();
  const { status, stderr, stdout } = spawnSync(command, [...args, '-c', bootstrap, '--concurrency', '1'], {
    ...{ encoding: 'utf8', timeout: 30_000 },
    env: { ...process.env, NODE_OPTIONS: `--require ${preload}` },
  });
  t.ok(status !== 0 && status !== null, `status ${status}`);
  t.match(stderr + stdout, /cannot call OpenSSL's SSL_new: Node v/);
});
