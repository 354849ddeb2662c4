/** A mesh changes its certificate authority while requests go on, between this proxy and itself, and between it and Envoy. */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import { CertificateAuthority, type IssuedCertificate } from '../../demo/certificate-authority.ts';
import { findEnvoy } from '../support/envoy-binary.ts';
import { findFreePort, getAdmin, ownCommand, type ProxyProcess, startProxy } from '../support/proxy-process.ts';
import { httpFilter, staticCluster, staticListener } from './static-bootstrap.ts';
import { waitFor } from './wait.ts';

const identity = 'spiffe://cluster.local/ns/test/sa/test';
const envoy = findEnvoy();
const [first, second] = [await CertificateAuthority.create(), await CertificateAuthority.create({ name: 'second' })];
const issue = (authority: CertificateAuthority, validForMs?: number): Promise<IssuedCertificate> =>
  authority.issue([{ type: 'url', value: identity }], validForMs);
const typeUrl = (name: string): string => `type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.${name}`;

/** Secrets of one proxy in files that it watches. */
class SecretFiles {
  readonly #folder: string;
  #version = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  path(name: string): string {
    return join(this.#folder, `${name}.json`);
  }

  source(name: string): object {
    return { name, sds_config: { path_config_source: { path: this.path(name) }, resource_api_version: 'V3' } };
  }

  writeRoots(...authorities: readonly CertificateAuthority[]): string {
    const pem = authorities.map(authority => authority.rootCertificate).join('\n');
    this.#write('roots', { validation_context: { trusted_ca: { inline_string: pem } } });
    return pem;
  }

  writeCertificate({ certificate, privateKey }: IssuedCertificate): string {
    this.#write('own', {
      tls_certificate: { certificate_chain: { inline_string: certificate }, private_key: { inline_string: privateKey } },
    });
    return certificate;
  }

  #write(name: string, secret: object): void {
    const resources = [{ '@type': typeUrl('Secret'), name, ...secret }];
    const temporary = join(this.#folder, 'new');
    writeFileSync(temporary, JSON.stringify({ version_info: String(++this.#version), resources }));
    renameSync(temporary, this.path(name));
  }

  /** Mutual TLS by these secrets; the peer must be of the trust domain. */
  transportSocket(message: string, fields: object): object {
    const names = [{ san_type: 'URI', matcher: { prefix: 'spiffe://cluster.local/' } }];
    const common = {
      tls_certificate_sds_secret_configs: [this.source('own')],
      combined_validation_context: {
        default_validation_context: { match_typed_subject_alt_names: names },
        validation_context_sds_secret_config: this.source('roots'),
      },
    };
    return {
      name: 'envoy.transport_sockets.tls',
      typed_config: { '@type': typeUrl(message), common_tls_context: common, ...fields },
    };
  }
}

type Kind = 'own' | 'envoy';

interface Side {
  readonly proxy: ProxyProcess;
  readonly files: SecretFiles;
  readonly port: number;
}

const commandOf = (kind: Kind): { command: string; args?: string[] } =>
  kind === 'own' ? ownCommand() : { command: envoy as string };

async function startSide(t: Test, kind: Kind, name: string, build: (files: SecretFiles, port: number) => object): Promise<Side> {
  const folder = mkdtempSync(join(tmpdir(), 'trust-'));
  const files = new SecretFiles(folder);
  files.writeRoots(first);
  files.writeCertificate(await issue(first));
  const port = await findFreePort();
  const bootstrap = { node: { id: name, cluster: 'test' }, static_resources: build(files, port) };
  const proxy = await startProxy({ name, ...commandOf(kind), bootstrap, folder, extraArgs: ['--use-dynamic-base-id'] });
  t.teardown(async () => {
    await proxy.stop();
    rmSync(folder, { recursive: true });
  });
  return { proxy, files, port };
}

const startServer = (t: Test, kind: Kind): Promise<Side> =>
  startSide(t, kind, 'server', (files, port) => {
    const routes = [{ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'fine' } } }];
    const virtual_hosts = [{ name: 'all', domains: ['*'], routes }];
    const listener = staticListener({ port, filter: httpFilter('in', { route_config: { name: 'in', virtual_hosts } }) });
    const [chain] = (listener as { filter_chains: object[] }).filter_chains;
    const transport_socket = files.transportSocket('DownstreamTlsContext', { require_client_certificate: true });
    return { listeners: [{ ...listener, filter_chains: [{ ...chain, transport_socket }] }] };
  });

/** `/pooled` keeps its connections, `/fresh` makes one for every request. */
const startClient = (t: Test, kind: Kind, serverPort: number): Promise<Side> =>
  startSide(t, kind, 'client', (files, port) => {
    const transport_socket = files.transportSocket('UpstreamTlsContext', { sni: 'test' });
    const options = {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      explicit_http_config: { http_protocol_options: {} },
      common_http_protocol_options: { max_requests_per_connection: 1 },
    };
    const fresh = {
      ...staticCluster('fresh', serverPort),
      transport_socket,
      typed_extension_protocol_options: { 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': options },
    };
    const routes = ['pooled', 'fresh'].map(cluster => ({ match: { prefix: `/${cluster}` }, route: { cluster } }));
    const virtual_hosts = [{ name: 'all', domains: ['*'], routes }];
    const filter = httpFilter('out', { route_config: { name: 'out', virtual_hosts } });
    return {
      listeners: [staticListener({ port, filter })],
      clusters: [{ ...staticCluster('pooled', serverPort), transport_socket }, fresh],
    };
  });

/** Asks one path again and again, one request at a time. */
class Load {
  readonly failures: string[] = [];
  #total = 0;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  #running = true;

  constructor(port: number, path: string) {
    const ask = (): void => {
      if (!this.#running) {
        this.#agent.destroy();
        return;
      }
      this.#total++;
      get({ port, path, host: '127.0.0.1', agent: this.#agent }, response => {
        let body = '';
        response.on('data', data => {
          body += data;
        });
        response.on('end', () => {
          if (response.statusCode !== 200) this.failures.push(`${path}: ${response.statusCode} ${body}`);
          setImmediate(ask);
        });
      }).on('error', error => {
        this.failures.push(`${path}: ${error.message}`);
        setImmediate(ask);
      });
    };
    ask();
  }

  /** Resolves after `count` more requests. */
  async pass(count: number): Promise<void> {
    const end = this.#total + count;
    await waitFor(() => this.#total >= end, 30_000);
  }

  stop(): void {
    this.#running = false;
  }
}

/** Waits until the proxy's configuration shows the PEM text. */
async function waitForSecret({ proxy }: Side, pem: string): Promise<void> {
  const text = Buffer.from(pem).toString('base64');
  await waitFor(async () => {
    const dump = await getAdmin(proxy.adminPort, '/config_dump?resource=dynamic_active_secrets');
    return dump.includes(text) || dump.includes(JSON.stringify(pem).slice(1, -1));
  });
}

async function readStat({ proxy }: Side, name: string): Promise<number> {
  const text = await getAdmin(proxy.adminPort, `/stats?filter=^${name.replaceAll('.', '\\.')}$`);
  return Number(text.split(': ')[1] ?? Number.NaN);
}

interface Answer {
  readonly served: boolean;
  readonly reused: boolean;
  readonly session: Buffer | undefined;
}

/** One request of a client with that certificate, perhaps with a session from before. */
function askDirectly(port: number, own: IssuedCertificate | null, session?: Buffer): Promise<Answer> {
  return new Promise(resolve => {
    let text = '';
    let latest: Buffer | undefined;
    let reused = false;
    const certificate = own === null ? {} : { cert: own.certificate, key: own.privateKey };
    const socket: TLSSocket = connect({
      port,
      host: '127.0.0.1',
      servername: 'test',
      rejectUnauthorized: false,
      session,
      ...certificate,
    });
    socket.on('session', given => {
      latest = given;
    });
    socket.on('secureConnect', () => {
      reused = socket.isSessionReused();
      socket.write('GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n');
    });
    socket.on('data', data => {
      text += data.toString('latin1');
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      resolve({ served: text.startsWith('HTTP/1.1 200'), reused, session: latest });
    });
  });
}

const pairs: readonly (readonly [client: Kind, server: Kind])[] = [
  ['own', 'own'],
  ['own', 'envoy'],
  ['envoy', 'own'],
];

for (const [clientKind, serverKind] of pairs) {
  const skip = envoy === null && (clientKind === 'envoy' || serverKind === 'envoy') ? 'Envoy is not installed' : false;
  t.test(`the authority changes under load: ${clientKind} client, ${serverKind} server`, { skip }, async t => {
    const server = await startServer(t, serverKind);
    const client = await startClient(t, clientKind, server.port);
    const loads = ['/pooled', '/fresh'].map(path => new Load(client.port, path));
    const pass = async (): Promise<void> => void (await Promise.all(loads.map(load => load.pass(20))));
    await pass();
    const stranger = await issue(await CertificateAuthority.create({ name: 'stranger' }));
    const foreign = await first.issue([{ type: 'url', value: 'spiffe://other.domain/ns/test/sa/test' }]);
    const old = await issue(first);
    const before = await askDirectly(server.port, old);
    t.ok(before.served, 'a client of the old authority is served');
    const resumed = await askDirectly(server.port, old, before.session);
    t.ok(resumed.served && resumed.reused, 'and resumes its session');
    t.notOk((await askDirectly(server.port, null)).served, 'no certificate');
    t.notOk((await askDirectly(server.port, stranger)).served, 'the certificate of a strange authority');
    t.notOk((await askDirectly(server.port, foreign)).served, 'the certificate of a foreign trust domain');
    t.notOk((await askDirectly(server.port, await issue(first, -1000))).served, 'an expired certificate');

    const sides = [server, client];
    for (const side of sides) await waitForSecret(side, side.files.writeRoots(first, second));
    await pass();
    for (const side of sides) await waitForSecret(side, side.files.writeCertificate(await issue(second)));
    await pass();
    const latest = await askDirectly(server.port, old);
    for (const side of sides) await waitForSecret(side, side.files.writeRoots(second));
    await pass();
    for (const load of loads) load.stop();
    t.same(
      loads.flatMap(({ failures }) => failures),
      [],
      'no request failed',
    );
    t.ok((await askDirectly(server.port, await issue(second))).served, 'a client of the new authority is served');
    t.notOk((await askDirectly(server.port, old)).served, 'one of the old authority is not');
    t.ok(latest.session, 'there is a session of it');
    t.notOk((await askDirectly(server.port, old, latest.session)).served, 'nor by the session that it had');
    t.ok((await readStat(client, 'cluster.fresh.ssl.session_reused')) > 0, 'the client resumed sessions');
    t.equal(await readStat(client, 'cluster.fresh.ssl.fail_verify_error'), 0);
    t.comment(`connections of the pool: ${await readStat(client, 'cluster.pooled.upstream_cx_total')}`);
  });
}
