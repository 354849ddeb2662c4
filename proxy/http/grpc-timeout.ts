/** The value of `grpc-timeout`: up to eight digits and a unit. */

const grpcUnits: { readonly [unit: string]: number } = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** `grpc-timeout` in milliseconds (rounded up), or null if it is absent or not valid. */
export function parseGrpcTimeout(text: string | undefined): number | null {
  const match = text === undefined ? null : /^(\d{1,8})([HMSmun])$/.exec(text);
  return match === null ? null : Math.ceil(Number(match[1]) * grpcUnits[match[2]]);
}

/** Milliseconds as `grpc-timeout`: at most eight digits. */
export function formatGrpcTimeout(timeoutMs: number): string {
  for (const [unit, perUnit] of [
    ['m', 1],
    ['S', 1000],
    ['M', 60_000],
  ] as const) {
    const value = Math.floor(timeoutMs / perUnit);
    if (value < 100_000_000) return `${value}${unit}`;
  }
  return `${Math.min(Math.floor(timeoutMs / 3_600_000), 99_999_999)}H`;
}
