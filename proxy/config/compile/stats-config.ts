/** `envoy.config.metrics.v3.StatsConfig`. */
import type { protos } from '../../../protos/messages.ts';
import type { StatsConfigModel, TagSpecifierModel } from '../model/stats.ts';
import { ConfigError } from './config-error.ts';
import { compileStringMatcher } from './matchers.ts';
import { durationMs, requireRange, unwrap } from './scalars.ts';
import type { CompileScope } from './scope.ts';

type StatsConfig = protos.envoy.config.metrics.v3.StatsConfig;

/** Envoy's limit of a tag regex. */
const maxRegexLength = 1024;

export interface StatsFlush {
  readonly stats_flush_interval: protos.google.protobuf.Duration | null;
  readonly stats_flush_on_admin: boolean | null;
  readonly deferred_stat_options: { readonly enable_deferred_creation_stats: boolean } | null;
}

/** Envoy's limits and default of the flush interval. */
const shortestFlushMs = 1;
const longestFlushMs = 300_000;
const defaultFlushMs = 5000;

export function compileStatsConfig(
  message: StatsConfig | null,
  path: string,
  scope: CompileScope,
  flush: StatsFlush | null = null,
): StatsConfigModel {
  return {
    deferredCreation: flush?.deferred_stat_options?.enable_deferred_creation_stats ?? false,
    flushIntervalMs: flush?.stats_flush_on_admin ? 0 : compileFlushInterval(flush),
    useAllDefaultTags: unwrap(message?.use_all_default_tags ?? null, true),
    tags: (message?.stats_tags ?? []).map((tag, i) => compileTag(tag, `${path}.stats_tags[${i}]`)),
    matcher: compileMatcher(message?.stats_matcher ?? null, `${path}.stats_matcher`, scope),
    histogramBuckets: (message?.histogram_bucket_settings ?? []).map((setting, i) => {
      const at = `${path}.histogram_bucket_settings[${i}]`;
      if (setting.match === null) throw new ConfigError(`${at}.match`, 'value is required');
      return {
        match: compileStringMatcher(setting.match, `${at}.match`, scope),
        bounds: requireBounds(setting.buckets, `${at}.buckets`),
      };
    }),
  };
}

function compileFlushInterval(flush: StatsFlush | null): number {
  const path = 'stats_flush_interval';
  return requireRange(
    durationMs(flush?.stats_flush_interval ?? null, defaultFlushMs, path),
    shortestFlushMs,
    longestFlushMs,
    path,
  );
}

function requireBounds(bounds: readonly number[], path: string): readonly number[] {
  if (bounds.length === 0) throw new ConfigError(path, 'value must contain at least 1 item(s)');
  if (bounds.some((bound, i) => !(bound > 0) || bound <= (bounds[i - 1] ?? 0))) {
    throw new ConfigError(path, 'bounds must be positive and in rising order');
  }
  return bounds;
}

function compileTag(message: protos.envoy.config.metrics.v3.TagSpecifier, path: string): TagSpecifierModel {
  const { regex, fixed_value: fixedValue } = message;
  if (regex !== null && regex.length > maxRegexLength) {
    throw new ConfigError(`${path}.regex`, `value length must be at most ${maxRegexLength} bytes`);
  }
  // An empty regex asks for the default extraction of that name, as no regex does.
  return { name: message.tag_name, regex: regex || null, fixedValue };
}

function compileMatcher(
  message: protos.envoy.config.metrics.v3.StatsMatcher | null,
  path: string,
  scope: CompileScope,
): StatsConfigModel['matcher'] {
  switch (message?.stats_matcher) {
    case 'reject_all':
      return { kind: message.reject_all ? 'none' : 'all', patterns: [] };
    case 'inclusion_list':
    case 'exclusion_list': {
      const field = message.stats_matcher;
      const patterns = message[field]!.patterns;
      if (patterns.length === 0) throw new ConfigError(`${path}.${field}.patterns`, 'value must contain at least 1 item(s)');
      return {
        kind: field === 'inclusion_list' ? 'inclusion' : 'exclusion',
        patterns: patterns.map((pattern, i) => compileStringMatcher(pattern, `${path}.${field}.patterns[${i}]`, scope)),
      };
    }
    default:
      if (message) throw new ConfigError(path, 'stats_matcher is required');
      return { kind: 'all', patterns: [] };
  }
}
