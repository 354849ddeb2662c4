/** What failed, in words for the person who has to mend it. */

const reachHint = 'is istiod running, and may this pod reach it?';

/** Patterns of grpc-js and OpenSSL, with what to look at. */
const istiodFailures: readonly (readonly [RegExp, string])[] = [
  [/ECONNREFUSED|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT|no answer within/, reachHint],
  [/Name resolution failed|ENOTFOUND|EAI_AGAIN/, 'is the discovery address right, and does the DNS of this pod work?'],
  [
    /unable to verify the first certificate|self-signed certificate|unable to get (local )?issuer|certificate signature failure/,
    'the certificate of istiod is not signed by the root that this pod trusts: did the mesh change its CA, or is this another mesh?',
  ],
  [/certificate has expired/, 'the certificate of istiod, or the root that this pod trusts, has expired'],
  [/altnames|does not match certificate/, 'is the discovery address right? ISTIOD_SAN names another host to expect'],
  [/unauthenticated|authentication failure/i, 'is the token of the service account mounted, for audience istio-ca, not expired?'],
];

/** The reason why a call to istiod failed, without the wrapping of the library, and a hint. */
export function describeIstiodFailure(details: string): string {
  const reason = details
    .replace(/^No connection established\. Last error: (Error: )?/, '')
    .replace(/\.? Resolution note:.*$/, '')
    .replace(/; if the root CA is installed locally.*$/, '');
  const hint = istiodFailures.find(([pattern]) => pattern.test(reason))?.[1];
  return hint === undefined ? reason : `${reason} (${hint})`;
}

const systemReasons: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is in use by another process of this pod (or of the node, with hostNetwork)',
  EADDRNOTAVAIL: 'the address does not belong to this pod',
  ENOSPC: 'no space left on device',
  EROFS: 'read-only file system: mount a writable volume there',
  EACCES: 'permission denied: check owner and mode, or runAsUser and fsGroup of the pod',
  ENOENT: 'no such file or directory',
  EMFILE: 'too many open files',
};

/** An error of the operating system, after what was attempted (`listen on status port 15020`). */
export function explainSystemError(attempt: string, error: unknown): Error {
  const { code = '', message } = error as NodeJS.ErrnoException;
  return new Error(`failed to ${attempt}: ${systemReasons[code] ?? message}`, { cause: error });
}
