/** Names of gRPC status codes. */
const names = [
  'OK',
  'Canceled',
  'Unknown',
  'InvalidArgument',
  'DeadlineExceeded',
  'NotFound',
  'AlreadyExists',
  'PermissionDenied',
  'ResourceExhausted',
  'FailedPrecondition',
  'Aborted',
  'OutOfRange',
  'Unimplemented',
  'Internal',
  'Unavailable',
  'DataLoss',
  'Unauthenticated',
];

/** `NotFound` or `NOT_FOUND`; a number outside the table is its own name. */
export function grpcStatusText(status: number, snakeCase: boolean): string {
  const name = names[status];
  if (name === undefined) return String(status);
  return snakeCase ? name.replace(/(?<=[a-z])[A-Z]/g, letter => `_${letter}`).toUpperCase() : name;
}

const statusOfHttp: { readonly [code: number]: number } = {
  200: 0,
  400: 13,
  401: 16,
  403: 7,
  404: 12,
  429: 14,
  502: 14,
  503: 14,
  504: 14,
};

/** The gRPC status that a client infers from an HTTP status without `grpc-status`. */
export function grpcStatusOfHttp(code: number): number {
  return statusOfHttp[code] ?? 2;
}
