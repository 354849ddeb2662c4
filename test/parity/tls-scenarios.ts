/** TLS between two proxies: how a server and a client are set up so that their handshake succeeds or fails in one certain way. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Scenario {
  readonly name: string;
  /** Merged into the server's context; null: it speaks plain text. */
  readonly server: TlsSide | null;
  readonly client: TlsSide | null;
}

export interface TlsSide {
  /** File name of the own certificate; null: none. Default: `server` or `client`. */
  readonly certificate?: string | null;
  /** File name of the trusted CA; default `ca`. */
  readonly ca?: string;
  readonly names?: readonly string[];
  readonly crl?: string;
  readonly params?: object;
  readonly alpn?: readonly string[];
  /** A server that asks for certificates without requiring them. */
  readonly isOptional?: boolean;
}

export const names = {
  server: 'spiffe://cluster.local/ns/a/sa/server',
  client: 'spiffe://cluster.local/ns/a/sa/client',
} as const;

/** With groups that both have: Envoy's own begin with X25519MLKEM768. */
const only = (version: string): object => ({
  tls_minimum_protocol_version: version,
  tls_maximum_protocol_version: version,
  ecdh_curves: ['X25519', 'P-256'],
});

const ciphers = (name: string): object => ({ cipher_suites: [name] });

export const scenarios: readonly Scenario[] = [
  { name: 'accepted', server: {}, client: {} },
  { name: 'accepted with names', server: { names: [names.client] }, client: { names: [names.server] } },
  { name: 'TLS 1.2', server: { params: only('TLSv1_2') }, client: {} },
  { name: 'TLS 1.3', server: {}, client: { params: only('TLSv1_3') } },
  { name: 'RSA', server: { certificate: 'rsa' }, client: {} },
  { name: 'ALPN without overlap', server: { alpn: ['h2'] }, client: { alpn: ['istio'] } },
  { name: 'no common version', server: { params: only('TLSv1_2') }, client: { params: only('TLSv1_3') } },
  { name: 'trust in an intermediate', server: { certificate: 'below' }, client: { ca: 'intermediate', names: [names.server] } },
  { name: 'trust in an intermediate, of a client', server: { ca: 'intermediate' }, client: { certificate: 'below' } },
  { name: 'an intermediate that is not sent', server: { certificate: 'below' }, client: {} },
  { name: 'trust in a leaf', server: { certificate: 'server' }, client: { ca: 'server' } },
  { name: 'server of another CA', server: { certificate: 'foreign' }, client: {} },
  { name: 'server self-signed', server: { certificate: 'alone' }, client: {} },
  { name: 'server expired', server: { certificate: 'expired' }, client: {} },
  { name: 'server not yet valid', server: { certificate: 'early' }, client: {} },
  { name: 'server with another name', server: {}, client: { names: ['spiffe://cluster.local/ns/a/sa/other'] } },
  { name: 'server with another of two names', server: { certificate: 'double' }, client: { names: ['other.test'] } },
  { name: 'server revoked', server: { certificate: 'revoked' }, client: { crl: 'crl' } },
  { name: 'client without certificate', server: {}, client: { certificate: null } },
  { name: 'client without certificate, TLS 1.2', server: { params: only('TLSv1_2') }, client: { certificate: null } },
  { name: 'client without a certificate that is optional', server: { isOptional: true }, client: { certificate: null } },
  {
    name: 'client without a certificate that is optional, but named',
    server: { isOptional: true, names: [names.client] },
    client: { certificate: null },
  },
  { name: 'client of another CA', server: {}, client: { certificate: 'foreign' } },
  { name: 'client of another CA, TLS 1.2', server: { params: only('TLSv1_2') }, client: { certificate: 'foreign' } },
  { name: 'server without a revocation list', server: {}, client: { crl: 'foreign-crl' } },
  { name: 'client expired', server: {}, client: { certificate: 'expired' } },
  { name: 'client with another name', server: { names: ['spiffe://cluster.local/ns/a/sa/other'] }, client: {} },
  { name: 'client revoked', server: { crl: 'crl' }, client: { certificate: 'revoked' } },
  { name: 'client not revoked', server: { crl: 'crl' }, client: {} },
  {
    name: 'client of another CA, TLS 1.3',
    server: {},
    client: { certificate: 'foreign', params: only('TLSv1_3') },
  },
  {
    name: 'client without certificate, TLS 1.3',
    server: {},
    client: { certificate: null, params: only('TLSv1_3') },
  },
  {
    name: 'no common cipher',
    server: { params: ciphers('ECDHE-ECDSA-AES128-GCM-SHA256') },
    client: { params: ciphers('ECDHE-ECDSA-AES256-GCM-SHA384') },
  },
  { name: 'plain client', server: {}, client: null },
  { name: 'plain server', server: null, client: {} },
];

const authorityConfig = `[ca]
default_ca=d
[d]
database=index.txt
new_certs_dir=.
rand_serial=yes
default_md=sha256
default_crl_days=9
policy=p
x509_extensions=e
[p]
organizationName=supplied
[e]
basicConstraints=CA:FALSE
subjectAltName=URI:${names.server}
`;

/** All certificates of the scenarios, as PEM files. */
export function makeCertificates(folder: string): void {
  const file = (name: string): string => join(folder, name);
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: 'pipe', cwd: folder });
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const root = (name: string): void =>
    openssl('req', '-x509', ...ec, '-days', '9', '-keyout', `${name}.key`, '-out', `${name}.pem`, '-subj', `/O=${name}`);
  const intermediate = (name: string, ca: string): void => {
    const issuer = ['-CA', `${ca}.pem`, '-CAkey', `${ca}.key`, '-addext', 'basicConstraints=critical,CA:TRUE'];
    const output = ['-keyout', `${name}.key`, '-out', `${name}.pem`];
    openssl('req', '-x509', ...issuer, ...ec, '-days', '9', ...output, '-subj', `/O=${name}`);
  };
  const leaf = (name: string, ca: string | null, san: string, key = ec): void => {
    const issuer = ca === null ? [] : ['-CA', `${ca}.pem`, '-CAkey', `${ca}.key`];
    const extensions = ['-addext', 'basicConstraints=CA:FALSE', '-addext', `subjectAltName=${san}`];
    const output = ['-keyout', `${name}.key`, '-out', `${name}.pem`];
    openssl('req', '-x509', ...issuer, ...key, '-days', '9', ...extensions, ...output, '-subj', `/O=${name}`);
  };
  const authority = ['ca', '-config', 'ca.cnf', '-keyfile', 'ca.key', '-cert', 'ca.pem', '-batch', '-notext'];
  const dated = (name: string, from: string, to: string): void => {
    openssl('req', '-new', ...ec, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/O=${name}`);
    openssl(...authority, '-in', `${name}.csr`, '-out', `${name}.pem`, '-startdate', from, '-enddate', to);
  };
  writeFileSync(file('index.txt'), '');
  writeFileSync(file('ca.cnf'), authorityConfig);
  const uri = (name: string): string => `URI:${name}`;
  root('ca');
  root('foreign-ca');
  intermediate('intermediate', 'ca');
  leaf('server', 'ca', uri(names.server));
  leaf('client', 'ca', uri(names.client));
  leaf('below', 'intermediate', uri(names.server));
  leaf('rsa', 'ca', uri(names.server), ['-newkey', 'rsa:2048', '-nodes']);
  leaf('double', 'ca', `${uri(names.server)},DNS:server.test`);
  leaf('foreign', 'foreign-ca', uri(names.server));
  leaf('alone', null, uri(names.server));
  dated('expired', '20200101000000Z', '20210101000000Z');
  dated('early', '20900101000000Z', '20910101000000Z');
  leaf('revoked', 'ca', uri(names.server));
  openssl(...authority, '-revoke', 'revoked.pem');
  openssl(...authority, '-gencrl', '-out', 'crl.pem');
  openssl(
    'ca',
    '-config',
    'ca.cnf',
    '-keyfile',
    'foreign-ca.key',
    '-cert',
    'foreign-ca.pem',
    '-gencrl',
    '-out',
    'foreign-crl.pem',
  );
}

/** The common TLS context of one side. */
export function commonContext(folder: string, side: TlsSide, role: 'server' | 'client'): object {
  const read = (name: string): object => ({ inline_string: readFileSync(join(folder, name), 'latin1') });
  const certificate = side.certificate === undefined ? role : side.certificate;
  const matchers = side.names?.map(exact => ({ san_type: 'URI', matcher: { exact } }));
  return {
    ...(certificate !== null && {
      tls_certificates: [{ certificate_chain: read(`${certificate}.pem`), private_key: read(`${certificate}.key`) }],
    }),
    validation_context: {
      trusted_ca: read(`${side.ca ?? 'ca'}.pem`),
      ...(side.crl && { crl: read(`${side.crl}.pem`) }),
      ...(matchers && { match_typed_subject_alt_names: matchers }),
    },
    ...(side.params && { tls_params: side.params }),
    ...(side.alpn && { alpn_protocols: side.alpn }),
  };
}
