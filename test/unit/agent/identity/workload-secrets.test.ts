import t from 'tap';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readEnvironment } from '../../../../agent/config/environment.ts';
import type { CertificateAuthority } from '../../../../agent/identity/ca-client.ts';
import { computeRotationDelay, WorkloadSecrets } from '../../../../agent/identity/workload-secrets.ts';

const skip = spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is not installed';

function makeCertificate(name: string, keyPath = '/dev/null'): string {
  const options = `-x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ${keyPath} -subj /CN=${name} -days 2`;
  return spawnSync('sh', ['-c', `openssl req ${options} 2>/dev/null`]).stdout.toString();
}

class FakeAuthority implements CertificateAuthority {
  requests = 0;
  chain: readonly string[];
  failures = 0;
  constructor(chain: readonly string[]) {
    this.chain = chain;
  }
  async sign(): Promise<readonly string[]> {
    this.requests++;
    if (this.failures-- > 0) throw new Error('unavailable');
    return this.chain;
  }
  close(): void {}
}

const noFiles = { chain: '/nonexistent/c', key: '/nonexistent/k', roots: '/nonexistent/r' };

function createSecrets(
  t: Tap,
  authority: CertificateAuthority | null,
  variables: Record<string, string> = {},
  files = noFiles,
): WorkloadSecrets {
  const environment = readEnvironment({ FILE_DEBOUNCE_DURATION: '10ms', ECC_SIGNATURE_ALGORITHM: 'ECDSA', ...variables });
  const secrets = new WorkloadSecrets({ environment, authority, files, caCertificatesPem: [] });
  t.teardown(() => secrets.close());
  return secrets;
}
type Tap = { teardown(handler: () => void): void; testdir(): string };

t.test('certificate and roots come from one request', { skip }, async t => {
  const [leaf, root] = [makeCertificate('leaf'), makeCertificate('root')];
  const authority = new FakeAuthority([leaf, root]);
  const secrets = createSecrets(t, authority);
  const [own, roots] = await Promise.all([secrets.getSecret('default'), secrets.getSecret('ROOTCA')]);
  t.equal(authority.requests, 1);
  t.equal(own.kind === 'keyPair' && own.chainPem, leaf + root);
  t.equal(roots.kind === 'roots' && roots.rootsPem, root.trimEnd());
  await t.rejects(secrets.getSecret('kubernetes://x'), /no certificate is known/);
});

t.test('a failed request is made again when asked again', { skip }, async t => {
  const authority = new FakeAuthority([makeCertificate('leaf'), makeCertificate('root')]);
  authority.failures = 1;
  const secrets = createSecrets(t, authority);
  await t.rejects(secrets.getSecret('default'), /failed to generate workload certificate: unavailable/);
  t.match(await secrets.getSecret('default'), { kind: 'keyPair' });
});

t.test('rotation announces a new certificate, and new roots if they changed', { skip }, async t => {
  const authority = new FakeAuthority([makeCertificate('leaf'), makeCertificate('root')]);
  // The whole life is grace: the certificate is renewed at once.
  const secrets = createSecrets(t, authority, { SECRET_GRACE_PERIOD_RATIO: '1', SECRET_GRACE_PERIOD_RATIO_JITTER: '0' });
  const updated = new Promise<string>(resolve => {
    secrets.onUpdate = resolve;
  });
  await secrets.getSecret('default');
  t.equal(await updated, 'default');
  const announced: string[] = [];
  secrets.onUpdate = name => announced.push(name);
  authority.chain = [makeCertificate('leaf2'), makeCertificate('root2')];
  await secrets.getSecret('default');
  t.ok(announced.includes('ROOTCA'));
  t.equal(authority.requests, 2);
});

t.test('further roots of the mesh are trusted too, each once', { skip }, async t => {
  const [root, other] = [makeCertificate('root'), makeCertificate('other')];
  const secrets = createSecrets(t, new FakeAuthority([makeCertificate('leaf'), root]));
  await secrets.getSecret('default');
  secrets.updateTrustBundle([other, root]);
  const roots = await secrets.getSecret('ROOTCA');
  t.equal(roots.kind === 'roots' && roots.rootsPem.split('BEGIN').length, 3);
});

t.test('mounted files are served, and announced when a symlinked volume is swapped', { skip }, async t => {
  const directory = mkdtempSync(join(tmpdir(), 'volume-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const fill = (version: string): void => {
    mkdirSync(join(directory, version));
    writeFileSync(join(directory, version, 'c'), makeCertificate(version, join(directory, version, 'k')));
    writeFileSync(join(directory, version, 'r'), makeCertificate(`root-${version}`));
  };
  fill('v1');
  symlinkSync('v1', join(directory, '..data'));
  for (const name of ['c', 'k', 'r']) symlinkSync(`..data/${name}`, join(directory, name));
  const at = (name: string): string => join(directory, name);
  const secrets = createSecrets(t, null, {}, { chain: at('c'), key: at('k'), roots: at('r') });
  const first = await secrets.getSecret('default');
  t.equal(first.kind === 'keyPair' && first.chainPem, readFileSync(at('c'), 'utf8'));
  t.match(await secrets.getSecret(`file-cert:${at('c')}~${at('k')}`), { kind: 'keyPair' });
  t.match(await secrets.getSecret(`file-root:${at('r')}`), { kind: 'roots' });
  const updated = new Promise<string>(resolve => {
    secrets.onUpdate = name => {
      if (name === 'default') resolve(name);
    };
  });
  fill('v2');
  symlinkSync('v2', at('..data_tmp'));
  renameSync(at('..data_tmp'), at('..data'));
  t.equal(await updated, 'default');
  const second = await secrets.getSecret('default');
  t.not(second.kind === 'keyPair' && second.chainPem, first.kind === 'keyPair' && first.chainPem);
});

t.test('certificates are written where applications want them', { skip }, async t => {
  const directory = t.testdir();
  const secrets = createSecrets(t, new FakeAuthority([makeCertificate('leaf'), makeCertificate('root')]), {
    OUTPUT_CERTS: directory,
  });
  await secrets.getSecret('default');
  await secrets.getSecret('ROOTCA');
  t.match(readFileSync(join(directory, 'key.pem'), 'utf8'), /EC PRIVATE KEY/);
  t.match(readFileSync(join(directory, 'cert-chain.pem'), 'utf8'), /CERTIFICATE/);
  t.match(readFileSync(join(directory, 'root-cert.pem'), 'utf8'), /CERTIFICATE/);
});

t.test('renews at half of the life, give or take the jitter, and never in the past', async t => {
  const now = Date.now();
  const day = { createdMs: now, expiresMs: now + 86_400_000 };
  const near = (actual: number, expected: number): void => {
    t.ok(Math.abs(actual - expected) < 1000, `${actual} is about ${expected}`);
  };
  near(computeRotationDelay(day, 0.5, 0.01, 0.5), 43_200_000);
  near(computeRotationDelay(day, 0.5, 0.01, 0), 0.51 * 86_400_000);
  near(computeRotationDelay(day, 2, 0, 0.5), 0);
  t.equal(computeRotationDelay({ createdMs: now - 10, expiresMs: now - 5 }, 0.5, 0, 0.5), 0);
});
