/**
 * A certificate authority in memory: issues the control plane's certificate and signs the workloads' certificate requests, as
 * istiod does. For demonstrations and tests only.
 */
import 'reflect-metadata';
import type { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

const subjectAltNameOid = '2.5.29.17';
const signing = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

export interface IssuedCertificate {
  /** PEM. */
  readonly certificate: string;
  /** PEM, PKCS #8. */
  readonly privateKey: string;
}

export interface AuthorityOptions {
  /** Of the root's subject. */
  readonly name?: string;
  /** Milliseconds from now, also in the past. */
  readonly validForMs?: number;
}

export class CertificateAuthority {
  readonly #root: x509.X509Certificate;
  readonly #keys: webcrypto.CryptoKeyPair;
  #serial = 1;

  private constructor(root: x509.X509Certificate, keys: webcrypto.CryptoKeyPair) {
    this.#root = root;
    this.#keys = keys;
  }

  static async create({ name = 'demo', validForMs = 24 * 3600 * 1000 }: AuthorityOptions = {}): Promise<CertificateAuthority> {
    const keys = await generateKeys();
    const root = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: '01',
      name: `O=${name}`,
      notBefore: new Date(Date.now() - 60_000),
      notAfter: new Date(Date.now() + validForMs),
      signingAlgorithm: signing,
      keys,
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      ],
    });
    return new CertificateAuthority(root, keys);
  }

  /** PEM. */
  get rootCertificate(): string {
    return pem(this.#root);
  }

  /** The key of the root: PEM, PKCS #8. */
  exportKey(): Promise<string> {
    return exportPrivateKey(this.#keys);
  }

  /** Signs a PEM request: its key and its names (URI SAN), valid from a minute ago for `validForMs`. Leaf first, root last. */
  async sign(requestPem: string, validForMs: number): Promise<string[]> {
    const request = new x509.Pkcs10CertificateRequest(requestPem);
    if (!(await request.verify())) throw new Error('the certificate request is not signed by its own key');
    const extension = request.getExtension(subjectAltNameOid);
    const names = extension === null ? [] : new x509.SubjectAlternativeNameExtension(extension.rawData).names.toJSON();
    const leaf = await this.#issue(await request.publicKey.export(), names, validForMs);
    return [pem(leaf), this.rootCertificate];
  }

  /** A key and a certificate for it. */
  async issue(names: x509.JsonGeneralNames, validForMs = 24 * 3600 * 1000): Promise<IssuedCertificate> {
    const keys = await generateKeys();
    const certificate = await this.#issue(keys.publicKey, names, validForMs);
    return { certificate: pem(certificate), privateKey: await exportPrivateKey(keys) };
  }

  #issue(publicKey: CryptoKey, names: x509.JsonGeneralNames, validForMs: number): Promise<x509.X509Certificate> {
    this.#serial++;
    return x509.X509CertificateGenerator.create({
      serialNumber: this.#serial.toString(16).padStart(8, '0'),
      subject: '',
      issuer: this.#root.subject,
      notBefore: new Date(Math.min(Date.now(), Date.now() + validForMs) - 60_000),
      notAfter: new Date(Date.now() + validForMs),
      signingAlgorithm: signing,
      publicKey,
      signingKey: this.#keys.privateKey,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
        new x509.SubjectAlternativeNameExtension(names, true),
      ],
    });
  }
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return crypto.subtle.generateKey(signing, true, ['sign', 'verify']) as Promise<webcrypto.CryptoKeyPair>;
}

async function exportPrivateKey(keys: webcrypto.CryptoKeyPair): Promise<string> {
  const key = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey));
  return x509.PemConverter.encode(key, 'PRIVATE KEY');
}

function pem(certificate: x509.X509Certificate): string {
  return `${certificate.toString('pem')}\n`;
}
