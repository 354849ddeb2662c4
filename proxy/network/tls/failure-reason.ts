/**
 * TLS failures in the words of BoringSSL and Envoy, which tools and users search for. OpenSSL's reasons are mapped by name; the
 * number is BoringSSL's packed error (library 16, reason).
 */
import type { OpenSslError } from './openssl.ts';

const sslLibrary = 0x10000000;

/** Reason name in BoringSSL to its number (ssl.h). */
const reasons: { readonly [name: string]: number } = {
  BAD_SIGNATURE: 111,
  CERTIFICATE_VERIFY_FAILED: 125,
  DECODE_ERROR: 137,
  DECRYPTION_FAILED_OR_BAD_RECORD_MAC: 139,
  HTTP_REQUEST: 156,
  NO_SHARED_CIPHER: 184,
  NO_CIPHERS_AVAILABLE: 177,
  PEER_DID_NOT_RETURN_A_CERTIFICATE: 192,
  TOO_MANY_KEY_UPDATES: 260,
  UNEXPECTED_MESSAGE: 231,
  UNEXPECTED_RECORD: 232,
  UNSUPPORTED_PROTOCOL: 240,
  WRONG_VERSION_NUMBER: 247,
  NO_COMMON_SIGNATURE_ALGORITHMS: 253,
  SSLV3_ALERT_UNEXPECTED_MESSAGE: 1010,
  SSLV3_ALERT_BAD_RECORD_MAC: 1020,
  SSLV3_ALERT_HANDSHAKE_FAILURE: 1040,
  SSLV3_ALERT_NO_CERTIFICATE: 1041,
  SSLV3_ALERT_BAD_CERTIFICATE: 1042,
  SSLV3_ALERT_UNSUPPORTED_CERTIFICATE: 1043,
  SSLV3_ALERT_CERTIFICATE_REVOKED: 1044,
  SSLV3_ALERT_CERTIFICATE_EXPIRED: 1045,
  SSLV3_ALERT_CERTIFICATE_UNKNOWN: 1046,
  SSLV3_ALERT_ILLEGAL_PARAMETER: 1047,
  TLSV1_ALERT_UNKNOWN_CA: 1048,
  TLSV1_ALERT_ACCESS_DENIED: 1049,
  TLSV1_ALERT_DECODE_ERROR: 1050,
  TLSV1_ALERT_DECRYPT_ERROR: 1051,
  TLSV1_ALERT_PROTOCOL_VERSION: 1070,
  TLSV1_ALERT_INSUFFICIENT_SECURITY: 1071,
  TLSV1_ALERT_INTERNAL_ERROR: 1080,
  TLSV1_ALERT_UNRECOGNIZED_NAME: 1112,
  TLSV1_ALERT_CERTIFICATE_REQUIRED: 1116,
  TLSV1_ALERT_NO_APPLICATION_PROTOCOL: 1120,
};

/** OpenSSL 3 names that differ. */
const renamed: { readonly [name: string]: string } = {
  PACKET_LENGTH_TOO_LONG: 'WRONG_VERSION_NUMBER',
  UNKNOWN_PROTOCOL: 'WRONG_VERSION_NUMBER',
  UNSUPPORTED_SSL_VERSION: 'UNSUPPORTED_PROTOCOL',
  NO_PROTOCOLS_AVAILABLE: 'UNSUPPORTED_PROTOCOL',
  NO_SUITABLE_SIGNATURE_ALGORITHM: 'NO_COMMON_SIGNATURE_ALGORITHMS',
  TLSV13_ALERT_CERTIFICATE_REQUIRED: 'TLSV1_ALERT_CERTIFICATE_REQUIRED',
  TLSV1_UNRECOGNIZED_NAME: 'TLSV1_ALERT_UNRECOGNIZED_NAME',
};

/** `TLS_error:|number:SSL routines:OPENSSL_internal:REASON:TLS_error_end`, with `details` of a verification behind the reason. */
export function formatTlsFailure(reason: string, details = ''): string {
  const number = sslLibrary + (reasons[reason] ?? 0);
  const suffix = details === '' ? '' : `:${details}`;
  return `TLS_error:|${number}:SSL routines:OPENSSL_internal:${reason}${suffix}:TLS_error_end`;
}

const librarySsl = 20;

/** The reason of an OpenSSL error as BoringSSL names it; null if it is not one of TLS. */
export function tlsFailureReason(failure: OpenSslError | null): string | null {
  if (failure === null || failure.library !== librarySsl) return null;
  const name = failure.reason.replace(/^SSL\/TLS_ALERT_/, 'SSLV3_ALERT_');
  return renamed[name] ?? name;
}

/** What a client adds when the server refused its hello. */
const refusedHello = '|268435610:SSL routines:OPENSSL_internal:HANDSHAKE_FAILURE_ON_CLIENT_HELLO';

/** What Envoy itself adds to its library's reason. */
const details: { readonly [reason: string]: string } = {
  PEER_DID_NOT_RETURN_A_CERTIFICATE: 'peer did not provide required client certificate',
};

/** The text for a failed handshake or record; empty if the connection just ended. `answered`: the server's hello had come. */
export function describeTlsFailure(failure: OpenSslError | null, role: 'client' | 'server', answered = false): string {
  const reason = tlsFailureReason(failure);
  if (reason === null) return '';
  const text = formatTlsFailure(reason, details[reason]);
  if (role === 'server' || answered || reason !== 'SSLV3_ALERT_HANDSHAKE_FAILURE') return text;
  return text.replace(':TLS_error_end', `${refusedHello}:TLS_error_end`);
}

/** The same for an error of the socket below TLS. */
export function describeSocketFailure(error: Error & { code?: string }): string {
  const isReset = error.code === 'ECONNRESET' && error.message.includes('read ECONNRESET');
  return isReset ? 'TLS_error:|33554536:system library:OPENSSL_internal:Connection reset by peer:TLS_error_end' : '';
}
