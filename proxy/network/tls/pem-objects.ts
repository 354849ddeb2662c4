/**
 * OpenSSL's own objects of PEM texts. Whoever reads them frees them; a context that uses one takes its own reference.
 *
 * Source: PEM_read_bio_X509(3), PEM_read_bio_PrivateKey(3).
 */
import { clearOpenSslErrors, loadOpenSsl, takeOpenSslError } from './openssl.ts';

type Reader = (bio: number, into: number, callback: number, password: Uint8Array) => number;

interface PemCalls {
  memoryMethod(): number;
  newBio(method: number): number;
  writeBio(bio: number, bytes: Uint8Array, length: number): number;
  freeBio(bio: number): number;
  readCertificate: Reader;
  readCrl: Reader;
  readKey: Reader;
  freeCertificate(certificate: number): void;
  freeCrl(crl: number): void;
  freeKey(key: number): void;
}

let calls: PemCalls | undefined;

function loadCalls(): PemCalls {
  const parameters = 'int64_t bio, int64_t into, int64_t callback, const void *password';
  calls ??= loadOpenSsl<PemCalls>({
    memoryMethod: 'int64_t BIO_s_mem()',
    newBio: 'int64_t BIO_new(int64_t method)',
    writeBio: 'int BIO_write(int64_t bio, const void *bytes, int length)',
    freeBio: 'int BIO_free(int64_t bio)',
    readCertificate: `int64_t PEM_read_bio_X509_AUX(${parameters})`,
    readCrl: `int64_t PEM_read_bio_X509_CRL(${parameters})`,
    readKey: `int64_t PEM_read_bio_PrivateKey(${parameters})`,
    freeCertificate: 'void X509_free(int64_t certificate)',
    freeCrl: 'void X509_CRL_free(int64_t crl)',
    freeKey: 'void EVP_PKEY_free(int64_t key)',
  });
  return calls;
}

/** At least one X509, in the order of the text. `part` names the text in errors, as in the functions below. */
export function readCertificates(pem: string, part: string): readonly number[] {
  const { readCertificate, freeCertificate } = loadCalls();
  return readAll(pem, part, readCertificate, freeCertificate);
}

/** At least one X509_CRL. */
export function readRevocationLists(pem: string, part: string): readonly number[] {
  const { readCrl, freeCrl } = loadCalls();
  return readAll(pem, part, readCrl, freeCrl);
}

/** EVP_PKEY. An encrypted one without password, or with the wrong one, is an error. */
export function readPrivateKey(pem: string, password: string | null, part: string): number {
  return withBio(pem, bio => {
    const key = loadCalls().readKey(bio, 0, 0, encodePassword(password));
    if (key === 0) throw readError(part);
    return key;
  });
}

export function freePemObject(kind: 'certificate' | 'crl' | 'key', object: number): void {
  const { freeCertificate, freeCrl, freeKey } = loadCalls();
  ({ certificate: freeCertificate, crl: freeCrl, key: freeKey })[kind](object);
}

const pemLibrary = 9;

function readAll(pem: string, part: string, read: Reader, free: (object: number) => void): readonly number[] {
  return withBio(pem, bio => {
    const objects: number[] = [];
    for (let object = 1; object !== 0; ) {
      object = read(bio, 0, 0, encodePassword(null));
      if (object !== 0) objects.push(object);
    }
    // The end of the text is an error, too: there is no further beginning.
    const error = takeOpenSslError();
    const atEnd = error?.library === pemLibrary && error.reason === 'NO_START_LINE';
    if (atEnd && objects.length > 0) return objects;
    for (const object of objects) free(object);
    throw new Error(`TLS ${part}: ${error?.reason ?? 'UNKNOWN_ERROR'}`);
  });
}

function withBio<T>(pem: string, use: (bio: number) => T): T {
  const { memoryMethod, newBio, writeBio, freeBio } = loadCalls();
  clearOpenSslErrors();
  const bytes = Buffer.from(pem);
  // It copies the bytes: OpenSSL must not read a Buffer that nothing refers to any more.
  const bio = newBio(memoryMethod());
  try {
    writeBio(bio, bytes, bytes.length);
    return use(bio);
  } finally {
    freeBio(bio);
  }
}

function readError(part: string): Error {
  return new Error(`TLS ${part}: ${takeOpenSslError()?.reason ?? 'UNKNOWN_ERROR'}`);
}

/** Never NULL: OpenSSL would ask at the terminal. */
function encodePassword(password: string | null): Buffer {
  return Buffer.from(`${password ?? ''}\0`);
}
