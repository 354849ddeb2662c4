/** Subsets of a cluster: `lb_subset_config`, or the policy `envoy.extensions.load_balancing_policies.subset.v3.Subset`. */
import type { protos } from '../../../protos/messages.ts';
import { type StructMessage, structToJson } from '../../../protos/struct.ts';
import type { SubsetSelectorModel, SubsetsModel } from '../model/cluster.ts';
import { ConfigError } from './config-error.ts';

type SubsetConfig =
  | protos.envoy.config.cluster.v3.Cluster.LbSubsetConfig
  | protos.envoy.extensions.load_balancing_policies.subset.v3.Subset;

const fallbacks = ['no-fallback', 'any-endpoint', 'default-subset'] as const;
const selectorFallbacks = ['not-defined', 'no-fallback', 'any-endpoint', 'default-subset', 'keys-subset'] as const;

export function compileSubsets(message: SubsetConfig, path: string): SubsetsModel {
  return {
    fallback: fallbacks[message.fallback_policy],
    defaultSubset: structToJson(message.default_subset as StructMessage | null),
    selectors: message.subset_selectors
      .map((selector, i) => compileSelector(selector, `${path}.subset_selectors[${i}]`))
      .map(dropShadowedFallback),
    localityWeightAware: message.locality_weight_aware,
    scaleLocalityWeight: message.scale_locality_weight,
    panicModeAny: message.panic_mode_any,
    listAsAny: message.list_as_any,
    // The older message does not have it.
    allowRedundantKeys: 'allow_redundant_keys' in message && message.allow_redundant_keys,
    metadataFallback: message.metadata_fallback_policy === 1,
  };
}

function compileSelector(message: SubsetConfig['subset_selectors'][number], path: string): SubsetSelectorModel {
  const keys = [...new Set(message.keys)].sort();
  const fallbackKeys = [...new Set(message.fallback_keys_subset)].sort();
  const fallback = selectorFallbacks[message.fallback_policy];
  if (fallback === 'keys-subset') checkFallbackKeys(keys, fallbackKeys, path);
  else if (fallbackKeys.length > 0) {
    const problem = 'fallback_keys_subset can be set only for KEYS_SUBSET fallback_policy';
    throw new ConfigError(`${path}.fallback_keys_subset`, problem);
  }
  if (message.single_host_per_subset && keys.length !== 1) {
    throw new ConfigError(path, 'subset_lb selector: single_host_per_subset is set only for a selector with a single key');
  }
  return { keys, singleHostPerSubset: message.single_host_per_subset, fallback, fallbackKeys };
}

/**
 * Like Envoy, which keeps fallbacks in a tree of keys and does not come back to a node: where the keys of a selector before begin
 * with all of this one's, this one's fallback is not found.
 */
function dropShadowedFallback(
  selector: SubsetSelectorModel,
  index: number,
  all: readonly SubsetSelectorModel[],
): SubsetSelectorModel {
  const isShadowed = all.slice(0, index).some(({ keys }) => selector.keys.every((key, i) => keys[i] === key));
  return isShadowed ? { ...selector, fallback: 'not-defined', fallbackKeys: [] } : selector;
}

function checkFallbackKeys(keys: readonly string[], fallbackKeys: readonly string[], path: string): void {
  const at = `${path}.fallback_keys_subset`;
  if (fallbackKeys.length === 0) throw new ConfigError(at, 'fallback_keys_subset cannot be empty');
  if (!fallbackKeys.every(key => keys.includes(key)))
    throw new ConfigError(at, 'fallback_keys_subset must be a subset of selector keys');
  if (fallbackKeys.length === keys.length) {
    throw new ConfigError(at, 'fallback_keys_subset cannot be equal to keys: the fallback would be the subset itself');
  }
}
