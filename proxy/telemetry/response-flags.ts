/** Envoy's response flags: bit, short name (access logs, metrics) and long name. */
const table = [
  ['failedLocalHealthCheck', 'LH', 'FailedLocalHealthCheck'],
  ['noHealthyUpstream', 'UH', 'NoHealthyUpstream'],
  ['upstreamRequestTimeout', 'UT', 'UpstreamRequestTimeout'],
  ['localReset', 'LR', 'LocalReset'],
  ['upstreamRemoteReset', 'UR', 'UpstreamRemoteReset'],
  ['upstreamConnectionFailure', 'UF', 'UpstreamConnectionFailure'],
  ['upstreamConnectionTermination', 'UC', 'UpstreamConnectionTermination'],
  ['upstreamOverflow', 'UO', 'UpstreamOverflow'],
  ['noRouteFound', 'NR', 'NoRouteFound'],
  ['delayInjected', 'DI', 'DelayInjected'],
  ['faultInjected', 'FI', 'FaultInjected'],
  ['rateLimited', 'RL', 'RateLimited'],
  ['unauthorizedExternalService', 'UAEX', 'UnauthorizedExternalService'],
  ['rateLimitServiceError', 'RLSE', 'RateLimitServiceError'],
  ['downstreamConnectionTermination', 'DC', 'DownstreamConnectionTermination'],
  ['upstreamRetryLimitExceeded', 'URX', 'UpstreamRetryLimitExceeded'],
  ['streamIdleTimeout', 'SI', 'StreamIdleTimeout'],
  ['invalidEnvoyRequestHeaders', 'IH', 'InvalidEnvoyRequestHeaders'],
  ['downstreamProtocolError', 'DPE', 'DownstreamProtocolError'],
  ['upstreamMaxStreamDurationReached', 'UMSDR', 'UpstreamMaxStreamDurationReached'],
  ['responseFromCacheFilter', 'RFCF', 'ResponseFromCacheFilter'],
  ['noFilterConfigFound', 'NFCF', 'NoFilterConfigFound'],
  ['durationTimeout', 'DT', 'DurationTimeout'],
  ['upstreamProtocolError', 'UPE', 'UpstreamProtocolError'],
  ['noClusterFound', 'NC', 'NoClusterFound'],
  ['overloadManager', 'OM', 'OverloadManagerTerminated'],
  ['dnsResolutionFailed', 'DF', 'DnsResolutionFailed'],
  ['dropOverload', 'DO', 'DropOverload'],
  ['downstreamRemoteReset', 'DR', 'DownstreamRemoteReset'],
  ['unconditionalDropOverload', 'UDO', 'UnconditionalDropOverload'],
] as const;

type FlagName = (typeof table)[number][0];

/** One bit per flag. */
export const ResponseFlag = Object.fromEntries(table.map(([name], bit) => [name, 1 << bit])) as {
  readonly [K in FlagName]: number;
};

/** Short name to bit, for filters of access logs. */
export const responseFlagBits: ReadonlyMap<string, number> = new Map(table.map(([, short], bit) => [short, 1 << bit]));

const bitsPerPlace = 5;
const placesSize = 1 << bitsPerPlace;

/**
 * Appends to a sequence of flags, which is one number: base 32 digits, the first flag highest, each the flag's bit plus one.
 * Ten flags fit; a stream never has that many.
 */
export function appendFlags(sequence: number, flags: number): number {
  let result = sequence;
  for (let rest = flags; rest !== 0; rest &= rest - 1) result = result * placesSize + (32 - Math.clz32(rest & -rest));
  return result;
}

function formatSequence(sequence: number, column: 1 | 2): string {
  if (sequence === 0) return '-';
  const names: string[] = [];
  for (let rest = sequence; rest > 0; rest = Math.floor(rest / placesSize)) names.push(table[(rest % placesSize) - 1][column]);
  return names.reverse().join(',');
}

const shortTexts = new Map<number, string>();

/** Short names in the order in which they were set, joined with ',', or '-' if none is set. */
export function formatResponseFlags(sequence: number): string {
  let text = shortTexts.get(sequence);
  if (text === undefined) {
    text = formatSequence(sequence, 1);
    shortTexts.set(sequence, text);
  }
  return text;
}

/** Long names in the order in which they were set, joined with ','. */
export function formatLongResponseFlags(sequence: number): string {
  return formatSequence(sequence, 2);
}
