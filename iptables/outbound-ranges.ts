/** The CIDR lists of outbound capture, with errors that name the flag. */
import type { Config } from './config.ts';
import { sourceOf } from './flags.ts';
import { type NetworkRange, parseRanges } from './prefix.ts';

export type Ranges = { readonly v4: NetworkRange; readonly v6: NetworkRange };

/** Throws an Error for a list with something that is no prefix, and for an exclusion of everything. */
export function readOutboundRanges(config: Config): { include: Ranges; exclude: Ranges } {
  const exclude = read(config, 'outboundIpRangesExclude');
  if (exclude.v4.isWildcard) {
    throw new Error(`invalid value for OUTBOUND_IP_RANGES_EXCLUDE (${sourceOf('outboundIpRangesExclude')})`);
  }
  return { include: read(config, 'outboundIpRangesInclude'), exclude };
}

function read(config: Config, key: 'outboundIpRangesInclude' | 'outboundIpRangesExclude'): Ranges {
  try {
    return parseRanges(config[key]);
  } catch (error) {
    throw new Error(`${(error as Error).message} (${sourceOf(key)})`);
  }
}
