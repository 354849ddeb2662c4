/** Errors of sockets in the words of the C library, as Envoy prints them. */

const texts: { readonly [code: string]: string } = {
  ECONNREFUSED: 'Connection refused',
  ECONNRESET: 'Connection reset by peer',
  EHOSTUNREACH: 'No route to host',
  ENETUNREACH: 'Network is unreachable',
  ETIMEDOUT: 'Connection timed out',
  EADDRNOTAVAIL: 'Cannot assign requested address',
  EADDRINUSE: 'Address already in use',
  EACCES: 'Permission denied',
  EINVAL: 'Invalid argument',
  EPERM: 'Operation not permitted',
  ENOENT: 'No such file or directory',
  EMFILE: 'Too many open files',
};

/** `error.code` is errno's name; an error without one speaks for itself. */
export function describeSocketError({ code, message }: { readonly code?: string; readonly message: string }): string {
  return texts[code ?? ''] ?? code ?? message;
}
