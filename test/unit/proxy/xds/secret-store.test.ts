import t from 'tap';
import type { SecretReference } from '../../../../proxy/config/compile/scope.ts';
import type { SecretModel } from '../../../../proxy/config/model/tls.ts';
import { ResourceStore } from '../../../../proxy/xds/resource-store.ts';
import { SecretStore, type SecretStoreOptions } from '../../../../proxy/xds/secret-store.ts';
import { FakeSource } from './fakes.ts';

/** A text is `certificate`, or `ca:X` for a validation context. */
function compile(bytes: Uint8Array, { key }: SecretReference): SecretModel {
  const text = Buffer.from(bytes).toString();
  if (text === 'bad') throw new Error('Failed to load private key');
  const validation = text.startsWith('ca:') ? { trustedCa: text } : null;
  return {
    key,
    certificate: validation === null ? { chain: text, privateKey: '', password: null } : null,
    validation,
    ticketKeys: '',
  } as never;
}

function setUp(parts: Partial<SecretStoreOptions> = {}) {
  const sources: FakeSource[] = [];
  const aggregated = new FakeSource();
  const sent: SecretModel[] = [];
  const resources = new ResourceStore();
  const store = new SecretStore({
    resolve: bytes => bytes,
    resources,
    compile,
    aggregated: () => aggregated,
    openSource: () => {
      sources.push(new FakeSource());
      return sources.at(-1)!;
    },
    onSecret: secret => sent.push(secret),
    ...parts,
  });
  return { store, sources, aggregated, sent, resources };
}

const ads = (name: string): SecretReference => ({ key: `ads/${name}`, name, source: 'ads', kind: 'certificate' });
const sds = (name: string): SecretReference => ({
  key: `sds/${name}`,
  name,
  source: { cluster: 'sds-grpc' },
  kind: 'certificate',
});

t.test('a secret is ready with its first value, and goes to the workers', async t => {
  const { store, sources, sent } = setUp();
  let ready = 0;
  store.acquire(sds('default'), () => ready++);
  t.equal(ready, 0);
  t.equal(sources[0].give({ default: 'one' }), null);
  t.equal(ready, 1);
  t.match(sent, [{ key: 'sds/default', certificate: { chain: 'one' } }]);
  store.acquire(sds('default'), () => ready++);
  t.equal(ready, 2);
});

t.test('a gRPC source has one stream per secret, the aggregated stream one subscription for all', async t => {
  const { store, sources, aggregated } = setUp();
  store.acquire(sds('default'), () => {});
  store.acquire(sds('ROOTCA'), () => {});
  store.acquire(ads('kubernetes://a'), () => {});
  store.acquire(ads('kubernetes://b'), () => {});
  t.equal(sources.length, 2);
  t.strictSame([...aggregated.names], ['kubernetes://a', 'kubernetes://b']);
});

t.test('a bad rotation is refused with the reason, and the old secret stays', async t => {
  const { store, sources, sent, resources } = setUp();
  store.acquire(sds('default'), () => {});
  sources[0].give({ default: 'one' });
  t.match(sources[0].give({ default: 'bad' }), /default: Failed to load private key/);
  t.equal(store.get('sds/default')?.certificate?.chain, 'one');
  t.equal(sent.length, 1);
  t.match(resources.get('secret', 'default')?.failure?.details, /Failed to load/);
});

t.test('the start goes on when the first secret is refused or missing', async t => {
  for (const answer of [{ default: 'bad' }, {}] as { [name: string]: string }[]) {
    const { store, sources } = setUp();
    let ready = 0;
    store.acquire(sds('default'), () => ready++);
    t.ok(sources[0].give(answer, ['default']));
    t.equal(ready, 1);
    t.equal(store.get('sds/default'), null);
    t.equal(sources[0].give({ default: 'one' }), null);
    t.equal(store.get('sds/default')?.certificate?.chain, 'one');
    t.equal(ready, 1);
  }
});

t.test('ticket keys stay with a new certificate and change with the CA', async t => {
  const { store, sources } = setUp();
  store.acquire(sds('default'), () => {});
  store.acquire(sds('ROOTCA'), () => {});
  sources[0].give({ default: 'one' });
  const first = store.get('sds/default')?.ticketKeys;
  t.equal(Buffer.from(first!, 'base64').length, 48);
  sources[0].give({ default: 'two' });
  t.equal(store.get('sds/default')?.ticketKeys, first);
  sources[1].give({ ROOTCA: 'ca:1' });
  const old = store.get('sds/ROOTCA')?.ticketKeys;
  sources[1].give({ ROOTCA: 'ca:2' });
  t.not(store.get('sds/ROOTCA')?.ticketKeys, old);
});

t.test('the last user closes the stream and forgets the secret', async t => {
  const { store, sources, resources } = setUp();
  const release = store.acquire(sds('default'), () => {});
  const releaseOther = store.acquire(sds('default'), () => {});
  sources[0].give({ default: 'one' });
  release();
  release();
  t.notOk(sources[0].stopped);
  releaseOther();
  t.ok(sources[0].stopped);
  t.equal(store.get('sds/default'), null);
  t.equal(resources.get('secret', 'default'), undefined);
});

t.test('an equal secret costs nothing', async t => {
  const { store, sources, sent } = setUp();
  store.acquire(sds('default'), () => {});
  sources[0].give({ default: 'one' });
  sources[0].give({ default: 'one' });
  t.equal(sent.length, 1);
});

t.test('a static secret that does not exist is an error', async t => {
  const { store } = setUp();
  t.throws(
    () => store.acquire({ key: 'static/x', name: 'x', source: 'static', kind: 'certificate' }, () => {}),
    /Unknown static secret/,
  );
});

t.test('changed files make a new secret, unless they do not fit together or are the same', async t => {
  let contents = 'one';
  let change: () => void = () => {};
  let watching = 0;
  const { store, sources, sent } = setUp({
    resolve: () => Buffer.from(contents),
    watchFiles: (_bytes, onChange) => {
      watching++;
      change = onChange;
      return () => watching--;
    },
  });
  const release = store.acquire(sds('default'), () => {});
  sources[0].give({ default: 'names a file' });
  for (const next of ['one', 'bad', 'two', 'two']) {
    contents = next;
    change();
  }
  t.same(
    sent.map(({ certificate }) => certificate?.chain),
    ['one', 'two'],
  );
  t.equal(watching, 1);
  release();
  t.equal(watching, 0);
});
