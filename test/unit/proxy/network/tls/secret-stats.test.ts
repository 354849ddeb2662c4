import { X509Certificate } from 'node:crypto';
import t from 'tap';
import type { TransportSocketModel } from '../../../../../proxy/config/model/tls.ts';
import { type KnownSecret, SecretStats } from '../../../../../proxy/network/tls/secret-stats.ts';
import { StatsStore } from '../../../../../proxy/telemetry/stats-store.ts';
import { issueIdentities } from '../../../../parity/stats-bootstrap.ts';

const { client } = await issueIdentities();
const expirySeconds = Date.parse(new X509Certificate(client.certificate).validTo) / 1000;

const certificate = { chain: client.certificate, privateKey: '', password: null };
const validation = { trustedCa: client.certificate } as never;

function setUp(secrets: Map<string, KnownSecret>) {
  const names: string[] = [];
  const store = new StatsStore({
    isIncluded: () => true,
    sink: { addBlock: () => {}, register: ({ name }) => names.push(name) },
  });
  const socket = (validationModel: object | null): TransportSocketModel =>
    ({
      kind: 'upstream-tls',
      common: { certificateSecret: 'ads/default', validationSecret: 'ads/ROOTCA', validation: validationModel },
    }) as never;
  const make = (validationModel: object | null = null) =>
    new SecretStats(store, 'cluster.a.', [socket(validationModel)], key => secrets.get(key) ?? null);
  const updates = () => store.counter('cluster.a.client_ssl_socket_factory.ssl_context_update_by_sds').value;
  const expiryOf = (name: string) => store.gauge(`cluster.a.ssl.certificate.${name}.expiration_unix_time_seconds`).value;
  return { names, make, updates, expiryOf };
}

const secret = (key: string, name: string | null, isAuthority = false): KnownSecret => ({
  name,
  model: { key, certificate: isAuthority ? null : certificate, validation: isAuthority ? validation : null, ticketKeys: '' },
});

t.test('each secret that comes is counted, and shows when its certificate ends', async t => {
  const secrets = new Map<string, KnownSecret>();
  const { names, make, updates, expiryOf } = setUp(secrets);
  const stats = make();
  t.equal(names.length, 1, 'no expiry before there is a certificate');
  secrets.set('ads/default', secret('ads/default', 'default'));
  stats.onSecret('ads/default');
  t.equal(updates(), 1);
  t.equal(expiryOf('default'), expirySeconds);
  secrets.set('ads/ROOTCA', secret('ads/ROOTCA', 'ROOTCA', true));
  stats.onSecret('ads/ROOTCA');
  stats.onSecret('ads/other');
  t.equal(updates(), 2);
  t.equal(expiryOf('ROOTCA'), expirySeconds);
});

t.test('secrets that are there already count at once', async t => {
  const secrets = new Map([['ads/default', secret('ads/default', 'default')]]);
  const { make, updates } = setUp(secrets);
  make();
  t.equal(updates(), 1);
});

t.test("what the configuration itself holds has Envoy's names for certificates without one", async t => {
  const secrets = new Map([['ads/default', secret('ads/default', null)]]);
  const { make, updates, expiryOf } = setUp(secrets);
  make({ trustedCa: client.certificate });
  t.equal(updates(), 0);
  t.equal(expiryOf('unnamed_cert_e3b0c442'), expirySeconds);
  t.equal(expiryOf('unnamed_ca_cert_e3b0c442'), expirySeconds);
});
