/** What a failed command of iptables, nft or ip says to a person: one line with the cause, the rule, and the flag it came from. */
import type { Config } from './config.ts';
import { sourceOf } from './flags.ts';

/** A command that failed: its name, what it wrote on standard error, and what it read. */
export type FailedCommand = { readonly command: string; readonly stderr: string; readonly stdin: string };

/** Settings that go into rules as they were given, so that a bad value is found out by the tool. */
const copiedKeys = [
  'proxyPort',
  'inboundCapturePort',
  'inboundTunnelPort',
  'proxyUid',
  'proxyGid',
  'inboundTproxyMark',
  'inboundTproxyRouteTable',
  'inboundPortsInclude',
  'inboundPortsExclude',
  'ownerGroupsInclude',
  'ownerGroupsExclude',
  'outboundPortsInclude',
  'outboundPortsExclude',
  'rerouteVirtualInterfaces',
  'excludeInterfaces',
] as const satisfies readonly (keyof Config)[];

/** The first line of what a command wrote, with the capability that it lacks. */
export function explainCause(stderr: string): string {
  const lines = stderr.split('\n').map(line => line.trim());
  const cause = (lines.find(line => line !== '') ?? 'no reason given').replace(/^\/dev\/stdin:[\d:-]+ Error: /, '');
  const isDenied = /permission denied|operation not permitted|must be root/i.test(stderr);
  return isDenied ? `capability NET_ADMIN is missing: ${cause}` : cause;
}

/** Explains on one line. */
export function explainFailure(failed: FailedCommand, config: Config): string {
  const reason = explainCause(failed.stderr);
  const rule = findRule(failed);
  if (rule === null || reason.startsWith('capability')) return `${failed.command}: ${reason}`;
  const sources = findSources(rule, failed.stderr, config);
  return `${failed.command} refused "${rule}": ${reason}${sources.length === 0 ? '' : ` (from ${sources.join(' or ')})`}`;
}

/** The rule that the error's line number points to; null for none, or for a line that commits. */
function findRule({ stderr, stdin }: FailedCommand): string | null {
  const match = /\/dev\/stdin:(\d+):|at line: (\d+)|line (\d+) failed/.exec(stderr);
  if (match === null) return null;
  const line = stdin.split('\n')[Number(match[1] ?? match[2] ?? match[3]) - 1] ?? '';
  return /^(-|add |insert )/.test(line) ? line : null;
}

/** Flags with a word of the rule in their value; those that the error quotes come alone. */
function findSources(rule: string, stderr: string, config: Config): string[] {
  const words = new Set(rule.split(/[\s:]+/));
  const quoted = new Set([...stderr.matchAll(/[`'"]([^`'"\s]+)['"]/g)].map(match => match[1]));
  const named = copiedKeys.flatMap(key =>
    config[key]
      .split(',')
      .filter(item => words.has(item))
      .map(item => ({ key, isQuoted: quoted.has(item) })),
  );
  const chosen = named.some(({ isQuoted }) => isQuoted) ? named.filter(({ isQuoted }) => isQuoted) : named;
  return [...new Set(chosen.map(({ key }) => sourceOf(key)))];
}
