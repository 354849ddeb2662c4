/**
 * Keys and certificate signing requests of a workload. A request needs a dozen DER shapes, so they are written here; node:crypto
 * makes keys and signatures.
 *
 * Source: RFC 2986, RFC 5280; GenCSR in istio.io/istio security/pkg/pki/util.
 */
import { generateKeyPair, type KeyObject, sign } from 'node:crypto';
import { promisify } from 'node:util';

const makeKeyPair = promisify(generateKeyPair);

export type KeyOptions = {
  /** RSA key size in bits. */
  readonly rsaKeySize: number;
  /** `ECDSA` makes an elliptic curve key, anything else an RSA one. */
  readonly eccSignatureAlgorithm: string;
  /** `P256` or `P384`. */
  readonly eccCurve: string;
  /** PKCS#8 instead of PKCS#1 or SEC1 PEM. */
  readonly pkcs8Key: boolean;
};

export type CertificateRequest = { readonly requestPem: string; readonly keyPem: string };

let prepared: { readonly options: KeyOptions; readonly keys: Promise<KeyPair> } | null = null;

/** Starts making the first key, on another thread: an RSA key takes as long as the rest of the agent's start. */
export function prepareKeyPair(options: KeyOptions): void {
  const keys = generate(options);
  // Whoever takes it is told; before that nobody listens.
  keys.catch(() => {});
  prepared = { options, keys };
}

function takeKeyPair(options: KeyOptions): Promise<KeyPair> {
  const ready = prepared;
  prepared = null;
  return ready !== null && ready.options === options ? ready.keys : generate(options);
}

function isElliptic(options: KeyOptions): boolean {
  return options.eccSignatureAlgorithm === 'ECDSA';
}

async function generate(options: KeyOptions): Promise<KeyPair> {
  if (isElliptic(options)) return makeKeyPair('ec', { namedCurve: options.eccCurve === 'P384' ? 'secp384r1' : 'prime256v1' });
  if (options.rsaKeySize < 2048) throw new Error(`RSA key size ${options.rsaKeySize} is below the minimum of 2048`);
  return makeKeyPair('rsa', { modulusLength: options.rsaKeySize });
}

/** Makes a key, unless one is prepared, and a request that names the workload by its SPIFFE URI. */
export async function createCertificateRequest(spiffeUri: string, options: KeyOptions): Promise<CertificateRequest> {
  const keys = await takeKeyPair(options);
  const elliptic = isElliptic(options);
  const type = options.pkcs8Key ? 'pkcs8' : elliptic ? 'sec1' : 'pkcs1';
  const keyPem = keys.privateKey.export({ format: 'pem', type: type as 'pkcs8' }) as string;
  const digest = elliptic && options.eccCurve === 'P384' ? 'sha384' : 'sha256';
  return { requestPem: signRequest(spiffeUri, keys, elliptic, digest), keyPem };
}

type KeyPair = { readonly publicKey: KeyObject; readonly privateKey: KeyObject };

function signRequest(spiffeUri: string, keys: KeyPair, elliptic: boolean, digest: 'sha256' | 'sha384'): string {
  const info = sequence(
    integerZero,
    // One organization without a name: the identity is in the URI alone.
    sequence(set(sequence(objectIdentifier(organizationOid), printableString('')))),
    keys.publicKey.export({ format: 'der', type: 'spki' }),
    contextConstructed(0, sequence(objectIdentifier(extensionRequestOid), set(sequence(subjectAltName(spiffeUri))))),
  );
  const algorithm = elliptic
    ? sequence(objectIdentifier(digest === 'sha384' ? ecdsaSha384Oid : ecdsaSha256Oid))
    : sequence(objectIdentifier(rsaSha256Oid), nullValue);
  const signature = sign(digest, info, keys.privateKey);
  return toPem('CERTIFICATE REQUEST', sequence(info, algorithm, bitString(signature)));
}

/** Critical, since the subject is empty. */
function subjectAltName(uri: string): Buffer {
  const names = sequence(tagged(0x86, Buffer.from(uri, 'latin1')));
  return sequence(objectIdentifier(subjectAltNameOid), trueValue, tagged(0x04, names));
}

const organizationOid = [2, 5, 4, 10];
const subjectAltNameOid = [2, 5, 29, 17];
const extensionRequestOid = [1, 2, 840, 113549, 1, 9, 14];
const rsaSha256Oid = [1, 2, 840, 113549, 1, 1, 11];
const ecdsaSha256Oid = [1, 2, 840, 10045, 4, 3, 2];
const ecdsaSha384Oid = [1, 2, 840, 10045, 4, 3, 3];

const integerZero = Buffer.from([0x02, 0x01, 0x00]);
const trueValue = Buffer.from([0x01, 0x01, 0xff]);
const nullValue = Buffer.from([0x05, 0x00]);

function tagged(tag: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([tag, ...encodeLength(content.length)]), content]);
}

function encodeLength(length: number): readonly number[] {
  if (length < 0x80) return [length];
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return [0x80 | bytes.length, ...bytes];
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return tagged(0x30, Buffer.concat(parts));
}

function set(...parts: readonly Buffer[]): Buffer {
  return tagged(0x31, Buffer.concat(parts));
}

function contextConstructed(number: number, content: Buffer): Buffer {
  return tagged(0xa0 | number, content);
}

function printableString(text: string): Buffer {
  return tagged(0x13, Buffer.from(text, 'latin1'));
}

function bitString(bits: Buffer): Buffer {
  return tagged(0x03, Buffer.concat([Buffer.from([0]), bits]));
}

function objectIdentifier(arcs: readonly number[]): Buffer {
  const bytes: number[] = [arcs[0] * 40 + arcs[1]];
  for (const arc of arcs.slice(2)) {
    const groups = [arc & 0x7f];
    for (let rest = arc >>> 7; rest > 0; rest >>>= 7) groups.unshift((rest & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return tagged(0x06, Buffer.from(bytes));
}

function toPem(title: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) as readonly string[];
  return `-----BEGIN ${title}-----\n${lines.join('\n')}\n-----END ${title}-----\n`;
}
