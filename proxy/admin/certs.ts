/** `/certs`: every certificate in use, as `envoy.admin.v3.Certificates`. */
import { X509Certificate } from 'node:crypto';
import { stringifyJson } from '../../protos/json-writer.ts';
import type { AdminContext } from './admin-context.ts';
import type { AdminResponse } from './endpoint.ts';
import { jsonResponse } from './endpoint.ts';

const dayMs = 86_400_000;

export function handleCerts(context: AdminContext): AdminResponse {
  const certificates = [...context.secrets.list()].map(({ certificate, validation }) => ({
    ca_cert: certificatesOf(validation?.trustedCa ?? ''),
    cert_chain: certificatesOf(certificate?.chain ?? ''),
  }));
  return jsonResponse(`${stringifyJson({ certificates })}\n`);
}

function certificatesOf(pem: string): object[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  return blocks.map(block => describeCertificate(new X509Certificate(block)));
}

function describeCertificate(certificate: X509Certificate): object {
  const toMs = Date.parse(certificate.validTo);
  return {
    path: '<inline>',
    serial_number: certificate.serialNumber.toLowerCase().replace(/^0+(?=.)/, ''),
    subject_alt_names: alternativeNames(certificate.subjectAltName ?? ''),
    days_until_expiration: String(Math.max(0, Math.floor((toMs - Date.now()) / dayMs))),
    valid_from: formatTime(Date.parse(certificate.validFrom)),
    expiration_time: formatTime(toMs),
  };
}

/** DNS names before URIs and addresses. */
function alternativeNames(text: string): object[] {
  const names = [...text.matchAll(/(DNS|URI|IP Address):("(?:[^"\\]|\\.)*"|[^,]*)/g)].map(([, kind, value]) => {
    return { kind, value: value.startsWith('"') ? (JSON.parse(value) as string) : value };
  });
  const of = (kind: string, field: string) => names.filter(name => name.kind === kind).map(({ value }) => ({ [field]: value }));
  return [...of('DNS', 'dns'), ...of('URI', 'uri'), ...of('IP Address', 'ip_address')];
}

function formatTime(timeMs: number): string {
  return `${new Date(timeMs).toISOString().slice(0, 19)}Z`;
}
