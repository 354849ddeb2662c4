/** Operators that tell of TLS connections and their certificates. */
import { X509Certificate } from 'node:crypto';
import type { CertificateInfo, ConnectionInfo } from '../network/connection.ts';
import { type Operator, type OperatorFactory, ofInfo, textOrNull } from './format-operator.ts';
import type { StreamInfo } from './stream-info.ts';
import { timeOperator } from './time-format.ts';

const downstream = (info: StreamInfo): ConnectionInfo => info.downstream;
const upstream = (info: StreamInfo): ConnectionInfo | null => info.upstreamConnection;
type ConnectionOf = (info: StreamInfo) => ConnectionInfo | null;
type CertificateReader = (certificate: CertificateInfo) => string;

const parsed = new WeakMap<CertificateInfo, X509Certificate>();

/** For what is asked for too rarely to be kept. */
function parse(certificate: CertificateInfo): X509Certificate {
  let known = parsed.get(certificate);
  if (known === undefined) {
    known = new X509Certificate(decodeURIComponent(certificate.pem));
    parsed.set(certificate, known);
  }
  return known;
}

/** Subject alternative names of one type, as Node prints them. */
const namesOf =
  (type: string): CertificateReader =>
  certificate => {
    const names = (parse(certificate).subjectAltName ?? '').split(', ').filter(name => name.startsWith(`${type}:`));
    return names.map(name => name.slice(type.length + 1)).join(',');
  };

const readers: { readonly [name: string]: CertificateReader } = {
  URI_SAN: certificate => certificate.uriSans.join(','),
  DNS_SAN: certificate => certificate.dnsSans.join(','),
  IP_SAN: namesOf('IP Address'),
  EMAIL_SAN: namesOf('email'),
  SUBJECT: certificate => certificate.subject,
  ISSUER: certificate => certificate.issuer,
  SERIAL: certificate => certificate.serialNumber.toLowerCase(),
  FINGERPRINT_256: certificate => certificate.sha256,
  FINGERPRINT_1: certificate => parse(certificate).fingerprint.replaceAll(':', '').toLowerCase(),
  CERT: certificate => certificate.pem,
};

function certificateOperators(
  prefix: string,
  side: 'peer' | 'local',
  connection: ConnectionOf,
  names: string,
): { [name: string]: Operator } {
  const operatorOf = (read: CertificateReader): Operator =>
    ofInfo(info => {
      const certificate = connection(info)?.tls?.[side];
      return certificate ? textOrNull(read(certificate)) : null;
    });
  const named = names.split(' ').map(name => [`${prefix}_${side.toUpperCase()}_${name}`, operatorOf(readers[name])]);
  return Object.fromEntries(named);
}

function connectionOperators(prefix: string, connection: ConnectionOf): { [name: string]: Operator } {
  return {
    [`${prefix}_TLS_VERSION`]: ofInfo(info => textOrNull(connection(info)?.tls?.version)),
    [`${prefix}_TLS_CIPHER`]: ofInfo(info => textOrNull(connection(info)?.tls?.cipher)),
    [`${prefix}_TLS_SESSION_ID`]: ofInfo(info => textOrNull(connection(info)?.tls?.sessionId)),
  };
}

/** Envoy has fewer of the upstream's. */
export const certificateOperatorsByName: { readonly [name: string]: Operator | undefined } = {
  ...connectionOperators('DOWNSTREAM', downstream),
  ...connectionOperators('UPSTREAM', upstream),
  ...certificateOperators(
    'DOWNSTREAM',
    'peer',
    downstream,
    'URI_SAN DNS_SAN IP_SAN EMAIL_SAN SUBJECT ISSUER SERIAL FINGERPRINT_256 FINGERPRINT_1 CERT',
  ),
  ...certificateOperators('DOWNSTREAM', 'local', downstream, 'URI_SAN DNS_SAN IP_SAN EMAIL_SAN SUBJECT'),
  ...certificateOperators('UPSTREAM', 'peer', upstream, 'URI_SAN DNS_SAN IP_SAN SUBJECT ISSUER CERT'),
  ...certificateOperators('UPSTREAM', 'local', upstream, 'URI_SAN DNS_SAN IP_SAN'),
};

const validity = (connection: ConnectionOf, read: (certificate: CertificateInfo) => number): OperatorFactory =>
  timeOperator((info): number | null => {
    const peer = connection(info)?.tls?.peer;
    return peer ? read(peer) : null;
  });

export const validityOperators: { readonly [name: string]: OperatorFactory | undefined } = {
  DOWNSTREAM_PEER_CERT_V_START: validity(downstream, certificate => certificate.validFromMs),
  DOWNSTREAM_PEER_CERT_V_END: validity(downstream, certificate => certificate.validToMs),
  UPSTREAM_PEER_CERT_V_START: validity(upstream, certificate => certificate.validFromMs),
  UPSTREAM_PEER_CERT_V_END: validity(upstream, certificate => certificate.validToMs),
};
