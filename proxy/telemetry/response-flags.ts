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

const shortTexts = new Map<number, string>([[0, '-']]);

/** Short names joined with ',', or '-' if none is set. */
export function formatResponseFlags(flags: number): string {
  let text = shortTexts.get(flags);
  if (text === undefined) {
    text = table
      .filter((_, bit) => flags & (1 << bit))
      .map(([, short]) => short)
      .join(',');
    shortTexts.set(flags, text);
  }
  return text;
}

/** Long names joined with ','. */
export function formatLongResponseFlags(flags: number): string {
  return flags === 0
    ? '-'
    : table
        .filter((_, bit) => flags & (1 << bit))
        .map(([, , long]) => long)
        .join(',');
}
