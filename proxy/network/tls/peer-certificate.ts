/** Certificates that peers showed, out of OpenSSL's memory; parsed once for all connections of the same peer. */
import { X509Certificate } from 'node:crypto';
import { describeCertificate, type ParsedCertificate } from './certificate.ts';
import { NativeBuffer } from './native-memory.ts';
import { declareOpenSsl } from './openssl.ts';

/** The certificate of a peer, and what is known of it. */
export interface PeerCertificate {
  readonly certificate: X509Certificate;
  readonly parsed: ParsedCertificate;
}

interface CertificateCalls {
  i2d_X509(certificate: number, output: Uint8Array | null): number;
  OPENSSL_sk_num(stack: number): number;
  OPENSSL_sk_value(stack: number, index: number): number;
}

const calls = declareOpenSsl<CertificateCalls>({
  i2d_X509: 'int i2d_X509(int64_t certificate, void *output)',
  OPENSSL_sk_num: 'int OPENSSL_sk_num(int64_t stack)',
  OPENSSL_sk_value: 'int64_t OPENSSL_sk_value(int64_t stack, int index)',
});

/** Larger certificates than this are read into memory of their own. */
const scratchBytes = 16_384;
let scratch: NativeBuffer | null = null;
const maxRemembered = 256;
/** Whoever sends more than a chain needs is read anew each time, so that strangers cannot fill the memory. */
const maxRememberedBytes = 16_384;
/** By the DER of everything the peer sent. */
const remembered = new Map<string, PeerCertificate>();

/** `leaf` and `chain` (a stack, 0: none) are OpenSSL's; the chain may contain the leaf. */
export function readPeerCertificate(leaf: number, chain: number): PeerCertificate {
  const leafDer = readDer(leaf);
  let key = leafDer;
  const others: string[] = [];
  for (let i = 0; chain !== 0 && i < calls.OPENSSL_sk_num(chain); i++) {
    const der = readDer(calls.OPENSSL_sk_value(chain, i));
    if (der === leafDer) continue;
    others.push(der);
    key += der;
  }
  let peer = remembered.get(key);
  if (peer === undefined) {
    const certificate = new X509Certificate(Buffer.from(leafDer, 'latin1'));
    peer = { certificate, parsed: describeCertificate(certificate, others) };
    if (remembered.size >= maxRemembered) remembered.clear();
    if (key.length <= maxRememberedBytes) remembered.set(key, peer);
  }
  return peer;
}

/** DER as text, one character per byte. */
function readDer(certificate: number): string {
  const length = calls.i2d_X509(certificate, null);
  if (length <= 0) throw new Error('i2d_X509: a certificate without encoding');
  scratch ??= new NativeBuffer(scratchBytes);
  const into = length <= scratchBytes ? scratch : new NativeBuffer(length);
  calls.i2d_X509(certificate, into.pointer());
  return into.buffer.toString('latin1', 0, length);
}
