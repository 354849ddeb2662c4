/** Certificates that others provide: mounted files, the server of somebody else, and files that the agent writes for applications. */
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { once } from 'node:events';
import t from 'tap';
import { findFreePort } from '../../support/proxy-process.ts';
import { waitFor } from '../wait.ts';
import { meshAuthority, startAgent } from './agent-process.ts';
import { Istiod } from './istiod.ts';
import { watchSecret } from './secret-client.ts';

const timeoutMs = 30_000;
const issue = (): ReturnType<typeof meshAuthority.issue> =>
  meshAuthority.issue([{ type: 'url', value: 'spiffe://cluster.local/ns/n/sa/s' }]);

/** A volume as the kubelet mounts it: names lead over `..data` to a folder of this version. */
function writeVolume(folder: string, version: string, files: Readonly<Record<string, string>>): void {
  mkdirSync(join(folder, version), { recursive: true });
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(folder, version, name), content);
    if (statSync(join(folder, name), { throwIfNoEntry: false }) === undefined) {
      rmSync(join(folder, name), { force: true });
      symlinkSync(join('..data', name), join(folder, name));
    }
  }
  symlinkSync(version, join(folder, '..data_tmp'));
  renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
}

t.test('mounted certificates are served, and again when the kubelet swaps them; no authority is asked', async t => {
  const [first, second] = [await issue(), await issue()];
  const pair = ({ certificate, privateKey }: typeof first) => ({ 'cert-chain.pem': certificate, 'key.pem': privateKey });
  const agent = await startAgent(t, {
    variables: { FILE_MOUNTED_CERTS: 'true' },
    prepare: folder =>
      writeVolume(join(folder, 'etc/certs'), '..1', { ...pair(first), 'root-cert.pem': meshAuthority.rootCertificate }),
  });
  await waitFor(() => agent.log().includes('Starting SDS grpc server'), timeoutMs);
  const own = watchSecret(t, agent, 'default');
  const roots = watchSecret(t, agent, 'ROOTCA');
  await waitFor(() => own.versions.length === 1 && roots.versions.length === 1, timeoutMs);
  t.equal(own.versions[0].trim(), first.certificate.trim());
  t.equal(roots.versions[0].trim(), meshAuthority.rootCertificate.trim());
  writeVolume(join(agent.folder, 'etc/certs'), '..2', { ...pair(second), 'root-cert.pem': meshAuthority.rootCertificate });
  await waitFor(() => own.versions.at(-1)?.trim() === second.certificate.trim(), timeoutMs);
  t.match(agent.log(), 'Workload is using file mounted certificates. Skipping connecting to CA');
});

t.test('beside the server of somebody else the agent serves files only, on a socket of its own', async t => {
  const foreign = createServer();
  t.teardown(() => foreign.close());
  const agent = await startAgent(t, {
    prepare: async folder => {
      const path = join(folder, 'var/run/secrets/workload-spiffe-uds/socket');
      mkdirSync(dirname(path), { recursive: true });
      foreign.listen(path);
      await once(foreign, 'listening');
    },
  });
  await waitFor(() => agent.log().includes('Starting SDS grpc server'), timeoutMs);
  t.match(agent.log(), 'Default Istio SDS Server will only serve files');
  const root = join(agent.folder, 'root.pem');
  const { versions } = watchSecret(t, agent, `file-root:${root}`, 'var/run/secrets/credential-uds/files-socket');
  await waitFor(() => versions.length === 1, timeoutMs);
  t.equal(versions[0].trim(), meshAuthority.rootCertificate.trim());
  t.ok(foreign.listening);
  const bootstrap = readFileSync(join(agent.folder, 'etc/istio/proxy/envoy-rev.json'), 'utf8');
  t.match(bootstrap, '"file-credential":"true"');
});

t.test('another name of the foreign socket needs somebody there', async t => {
  const agent = await startAgent(t, { variables: { WORKLOAD_IDENTITY_SOCKET_FILE: 'spire.sock' } });
  t.equal(await agent.exitCode(), 255);
  t.match(agent.log(), /Error: agent configured for non-default SDS socket path: .*spire\.sock but no socket found/);
});

t.test('a socket that nobody serves any more is replaced', async t => {
  const dead = createServer();
  const agent = await startAgent(t, {
    prepare: async folder => {
      const path = join(folder, 'var/run/secrets/workload-spiffe-uds/socket');
      mkdirSync(dirname(path), { recursive: true });
      // Renamed away while it listens, so that closing does not remove it: as a process leaves it that was killed.
      dead.listen(`${path}.old`);
      await once(dead, 'listening');
      renameSync(`${path}.old`, path);
      dead.close();
      await once(dead, 'close');
    },
  });
  await waitFor(() => agent.log().includes('Starting SDS grpc server'), timeoutMs);
  t.notMatch(agent.log(), 'will only serve files');
});

t.test('OUTPUT_CERTS keeps the certificate in files for applications, renewed with it', async t => {
  const port = await findFreePort();
  const istiod = new Istiod({ authority: meshAuthority, port, certificateTtlMs: 20_000 });
  await istiod.listen();
  t.teardown(() => istiod.stop());
  const agent = await startAgent(t, {
    config: { discoveryAddress: `127.0.0.1:${port}` },
    variables: {
      ISTIOD_SAN: 'istiod.istio-system.svc',
      OUTPUT_CERTS: 'out',
      DISABLE_ENVOY: 'true',
      SECRET_TTL: '20s',
      SECRET_GRACE_PERIOD_RATIO: '0.95',
    },
    prepare: folder => void mkdirSync(join(folder, 'out')),
  });
  const read = (name: string): string => {
    const path = join(agent.folder, 'out', name);
    return statSync(path, { throwIfNoEntry: false }) === undefined ? '' : readFileSync(path, 'utf8');
  };
  await waitFor(() => ['key.pem', 'cert-chain.pem', 'root-cert.pem'].every(name => read(name) !== ''), timeoutMs);
  t.equal(read('root-cert.pem').trim(), meshAuthority.rootCertificate.trim());
  t.equal(statSync(join(agent.folder, 'out/key.pem')).mode & 0o777, 0o600);
  const [key, chain] = [read('key.pem'), read('cert-chain.pem')];
  await waitFor(() => read('key.pem') !== key && read('cert-chain.pem') !== chain, timeoutMs);
});
