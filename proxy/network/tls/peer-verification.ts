/**
 * Whether a peer is who the configuration wants: chain, names, pinned hashes. Asked in the midst of a handshake, so that the peer is
 * refused with an alert, and again after one that resumed a session, before its first byte reaches a filter.
 *
 * Source: Envoy's default certificate validator.
 */
import { createHash, type X509Certificate } from 'node:crypto';
import type { SubjectAltNameMatcher, ValidationModel } from '../../config/model/tls.ts';
import { compileStringMatcher } from '../../matching/string-matcher.ts';
import type { ParsedCertificate, SubjectAltName } from './certificate.ts';
import { declareOpenSsl } from './openssl.ts';

/** Why a peer was refused; `stat` is the counter below `ssl.` that Envoy raises. */
export interface VerificationFailure {
  readonly stat: 'fail_verify_no_cert' | 'fail_verify_error' | 'fail_verify_san' | 'fail_verify_cert_hash';
  readonly details: string;
  /** TLS's AlertDescription that tells the peer. */
  readonly alert: number;
}

const alerts = {
  handshakeFailure: 40,
  certificateRevoked: 44,
  certificateExpired: 45,
  certificateUnknown: 46,
  unknownCa: 48,
} as const;
/** Verdicts of X509_verify_cert (x509_vfy.h) that are told in other words than OpenSSL's, or with other alerts. */
export const certificateHasExpired = 10;
const chainFailureAlerts: { readonly [code: number]: number | undefined } = {
  3: alerts.certificateUnknown,
  9: alerts.certificateExpired,
  [certificateHasExpired]: alerts.certificateExpired,
  23: alerts.certificateRevoked,
};

/** `chainError` is X509_V_ERR_*; 0: the chain is trusted. */
export type PeerVerifier = (
  certificate: X509Certificate | undefined,
  parsed: ParsedCertificate | null,
  chainError: number,
) => VerificationFailure | null;

/** BoringSSL's words where OpenSSL has others. */
const chainFailureTexts: { readonly [code: number]: string | undefined } = {
  3: 'certificate revocation check against provided CRLs failed: unable to get certificate CRL',
  18: 'self signed certificate',
  19: 'self signed certificate in certificate chain',
  // BoringSSL stops at the first error, OpenSSL reports the one that follows from it.
  21: 'unable to get local issuer certificate',
  23: 'certificate revocation check against provided CRLs failed: certificate revoked',
  26: 'unsupported certificate purpose',
};

const calls = declareOpenSsl<{ errorText(code: number): string }>({
  errorText: 'const char *X509_verify_cert_error_string(long code)',
});

/** Names or hashes of peers mean that there must be a certificate, whatever else is configured. */
export function expectsCertificate(validation: ValidationModel | null): boolean {
  if (validation === null) return false;
  const { subjectAltNames, certificateHashes, certificateSpkis } = validation;
  return subjectAltNames.length + certificateHashes.length + certificateSpkis.length > 0;
}

/**
 * Compiles a validation. `requireCertificate` refuses peers without one; `expectedNames` replaces the configured names (any of
 * them suffices).
 */
export function compilePeerVerifier(
  validation: ValidationModel | null,
  verifiesChain: boolean,
  requireCertificate: boolean,
  expectedNames: readonly string[] | null,
): PeerVerifier {
  const matchers: readonly SubjectAltNameMatcher[] =
    expectedNames === null
      ? (validation?.subjectAltNames ?? [])
      : expectedNames.map(value => ({ type: 'any', matcher: { kind: 'exact', value, ignoreCase: false } }));
  const matchName = compileNames(matchers);
  const hashes = new Set(validation?.certificateHashes ?? []);
  const spkis = new Set(validation?.certificateSpkis ?? []);
  return (certificate, parsed, chainError) => {
    if (certificate === undefined || parsed === null) {
      if (!requireCertificate) return null;
      const details = 'peer did not provide required client certificate';
      return { stat: 'fail_verify_no_cert', details, alert: alerts.handshakeFailure };
    }
    if (verifiesChain && chainError !== 0) {
      const text = chainFailureTexts[chainError] ?? calls.errorText(chainError);
      return {
        stat: 'fail_verify_error',
        details: `verify cert failed: X509_verify_cert: certificate verification error at depth 0: ${text}`,
        alert: chainFailureAlerts[chainError] ?? alerts.unknownCa,
      };
    }
    if (matchers.length > 0 && !parsed.names.some(matchName)) {
      const names = parsed.names.map(name => name.value).join(', ');
      const details = expectedNames === null ? `SAN matcher, certificate SANs are [${names}]` : 'verify SAN list';
      return { stat: 'fail_verify_san', details: `verify cert failed: ${details}`, alert: alerts.certificateUnknown };
    }
    if ((hashes.size > 0 || spkis.size > 0) && !isPinned(certificate, parsed, hashes, spkis)) {
      return {
        stat: 'fail_verify_cert_hash',
        details: 'verify cert failed: cert hash and spki',
        alert: alerts.certificateUnknown,
      };
    }
    return null;
  };
}

function isPinned(certificate: X509Certificate, parsed: ParsedCertificate, hashes: Set<string>, spkis: Set<string>): boolean {
  if (hashes.has(parsed.sha256)) return true;
  if (spkis.size === 0) return false;
  const key = certificate.publicKey.export({ type: 'spki', format: 'der' });
  return spkis.has(createHash('sha256').update(key).digest('base64'));
}

function compileNames(matchers: readonly SubjectAltNameMatcher[]): (name: SubjectAltName) => boolean {
  const compiled = matchers.map(({ type, matcher }) => {
    const matches = compileStringMatcher(matcher);
    const exactDns = matcher.kind === 'exact' ? matcher.value.toLowerCase() : null;
    return (name: SubjectAltName): boolean => {
      if (type !== 'any' && name.type !== type) return false;
      if (name.value.includes('\0')) return false;
      if (name.type === 'dns' && exactDns !== null) return matchesDnsName(exactDns, name.value.toLowerCase());
      return matches(name.value);
    };
  });
  return name => compiled.some(matches => matches(name));
}

/** A certificate's `*.x` stands for exactly one label. */
export function matchesDnsName(expected: string, pattern: string): boolean {
  if (expected === pattern) return true;
  if (!pattern.startsWith('*.') || pattern.length < 3) return false;
  const dot = expected.indexOf('.');
  return dot > 0 && expected.slice(dot) === pattern.slice(1);
}
