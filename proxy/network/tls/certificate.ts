/** What filters, logs and headers need to know of a certificate, read once per connection and lazily where it is dear. */
import { createHash, X509Certificate } from 'node:crypto';
import type { CertificateInfo } from '../connection.ts';

/** A subject alternative name by its type. */
export interface SubjectAltName {
  readonly type: 'dns' | 'uri' | 'email' | 'ip' | 'other';
  readonly value: string;
}

const sanTypes: { readonly [prefix: string]: SubjectAltName['type'] } = {
  DNS: 'dns',
  URI: 'uri',
  email: 'email',
  'IP Address': 'ip',
};

/** Parses Node's one-line form, in which a value with special characters is a JSON string. */
export function parseSubjectAltNames(text: string | undefined): readonly SubjectAltName[] {
  if (text === undefined || text === '') return [];
  const names: SubjectAltName[] = [];
  for (const match of text.matchAll(/(?:^|, )([^:,"]+):("(?:[^"\\]|\\.)*"|[^,]*)/g)) {
    const [, prefix, raw] = match;
    const value = raw.startsWith('"') ? unquote(raw) : raw;
    names.push({ type: sanTypes[prefix] ?? 'other', value });
  }
  return names;
}

function unquote(text: string): string {
  try {
    return JSON.parse(text) as string;
  } catch {
    return text;
  }
}

/** RFC 2253: the reverse of Node's lines, with commas escaped. */
export function formatDistinguishedName(lines: string): string {
  return lines
    .split('\n')
    .filter(line => line !== '')
    .reverse()
    .map(line => line.replace(/([,+"\\<>;])/g, '\\$1'))
    .join(',');
}

class LazyCertificateInfo implements CertificateInfo {
  readonly #certificate: X509Certificate;
  /** What the peer sent beside it: DER, a character per byte. */
  readonly #chain: readonly string[];
  readonly names: readonly SubjectAltName[];
  #sha256: string | null = null;
  constructor(certificate: X509Certificate, chain: readonly string[]) {
    this.#certificate = certificate;
    this.#chain = chain;
    this.names = parseSubjectAltNames(certificate.subjectAltName);
  }
  get uriSans(): readonly string[] {
    return this.names.filter(name => name.type === 'uri').map(name => name.value);
  }
  get dnsSans(): readonly string[] {
    return this.names.filter(name => name.type === 'dns').map(name => name.value);
  }
  get subject(): string {
    return formatDistinguishedName(this.#certificate.subject ?? '');
  }
  get issuer(): string {
    return formatDistinguishedName(this.#certificate.issuer ?? '');
  }
  get serialNumber(): string {
    return this.#certificate.serialNumber.toLowerCase();
  }
  get sha256(): string {
    this.#sha256 ??= createHash('sha256').update(this.#certificate.raw).digest('hex');
    return this.#sha256;
  }
  get pem(): string {
    return encodeURIComponent(this.#certificate.toString());
  }
  get pemChain(): string {
    const others = this.#chain.map(der => new X509Certificate(Buffer.from(der, 'latin1')));
    return [this.#certificate, ...others].map(certificate => encodeURIComponent(certificate.toString())).join('');
  }
  get validFromMs(): number {
    return Date.parse(this.#certificate.validFrom);
  }
  get validToMs(): number {
    return Date.parse(this.#certificate.validTo);
  }
}

/** Facts of a certificate, with its alternative names parsed. */
export type ParsedCertificate = CertificateInfo & { readonly names: readonly SubjectAltName[] };

/** `chain` is what came along: DER, a character per byte. */
export function describeCertificate(certificate: X509Certificate, chain: readonly string[] = []): ParsedCertificate {
  return new LazyCertificateInfo(certificate, chain);
}
