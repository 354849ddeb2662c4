/** `envoy.config.listener.v3.FilterChainMatch`, and the rule that no two chains match the same. */
import type { protos } from '../../../protos/messages.ts';
import { formatCidr } from '../model/address.ts';
import type { FilterChainMatch, FilterChainModel } from '../model/listener.ts';
import { compileCidrRanges } from './address.ts';
import { ConfigError } from './config-error.ts';
import { requireRange } from './scalars.ts';

const sourceTypes = ['any', 'same-ip-or-loopback', 'external'] as const;

const matchAll: FilterChainMatch = {
  destinationPort: null,
  prefixRanges: [],
  serverNames: [],
  transportProtocol: '',
  applicationProtocols: [],
  directSourcePrefixRanges: [],
  sourceType: 'any',
  sourcePrefixRanges: [],
  sourcePorts: [],
};

export function compileFilterChainMatch(
  message: protos.envoy.config.listener.v3.FilterChainMatch | null,
  path: string,
): FilterChainMatch {
  if (message === null) return matchAll;
  const port = message.destination_port;
  return {
    destinationPort: port === null ? null : requireRange(port.value, 1, 65_535, `${path}.destination_port`),
    prefixRanges: compileCidrRanges(message.prefix_ranges, `${path}.prefix_ranges`),
    serverNames: message.server_names.map((name, i) => requireServerName(name, `${path}.server_names[${i}]`)),
    transportProtocol: message.transport_protocol,
    applicationProtocols: message.application_protocols,
    directSourcePrefixRanges: compileCidrRanges(message.direct_source_prefix_ranges, `${path}.direct_source_prefix_ranges`),
    sourceType: sourceTypes[message.source_type],
    sourcePrefixRanges: compileCidrRanges(message.source_prefix_ranges, `${path}.source_prefix_ranges`),
    sourcePorts: message.source_ports.map((sourcePort, i) => requireRange(sourcePort, 1, 65_535, `${path}.source_ports[${i}]`)),
  };
}

function requireServerName(name: string, path: string): string {
  const rest = name.startsWith('*.') ? name.slice(2) : name;
  if (rest.includes('*')) {
    throw new ConfigError(path, 'partial wildcards are not supported in "server_names"');
  }
  return name.toLowerCase();
}

/** Above this many combinations in one listener only identical matches are found. */
const maxCombinations = 20_000;

/** @throws ConfigError if two chains would be chosen for the same connection by the same criteria. */
export function requireDistinctMatches(chains: readonly FilterChainModel[], path: string): void {
  const seen = new Map<string, number>();
  for (const [i, chain] of chains.entries()) {
    for (const key of matchKeys(chain.match, maxCombinations - seen.size)) {
      const earlier = seen.get(key);
      if (earlier !== undefined && earlier !== i) {
        throw new ConfigError(
          `${path}[${i}]`,
          `filter chain '${chain.name}' has the same matching rules defined as '${chains[earlier].name}'`,
        );
      }
      seen.set(key, i);
    }
  }
}

/** One text per combination of criteria, as Envoy's tree of maps has one leaf. */
function matchKeys(match: FilterChainMatch, limit: number): readonly string[] {
  const dimensions: readonly (readonly string[])[] = [
    [String(match.destinationPort ?? '')],
    match.prefixRanges.map(formatCidr),
    match.serverNames,
    [match.transportProtocol],
    match.applicationProtocols,
    match.directSourcePrefixRanges.map(formatCidr),
    [match.sourceType],
    match.sourcePrefixRanges.map(formatCidr),
    match.sourcePorts.map(String),
  ];
  const count = dimensions.reduce((product, values) => product * Math.max(1, values.length), 1);
  if (count > limit) return [JSON.stringify(match)];
  let keys = [''];
  for (const values of dimensions) {
    const choices = values.length === 0 ? [''] : values;
    keys = keys.flatMap(key => choices.map(choice => `${key}|${choice}`));
  }
  return keys;
}
