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
