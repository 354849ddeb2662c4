/** `envoy.config.route.v3.RetryPolicy`. */
import type { protos } from '../../../protos/messages.ts';
import type { HedgePolicyModel, RetryPolicyModel } from '../model/route.ts';
import { ConfigError } from './config-error.ts';
import { compileHeaderMatchers, requireHeaderName } from './matchers.ts';
import { durationMs, positiveDurationMs, requireRange, unwrap } from './scalars.ts';
import type { CompileScope } from './scope.ts';
import { openExpected, unknownExtension } from './typed-config.ts';

type RetryPolicy = protos.envoy.config.route.v3.RetryPolicy;

const previousHosts = 'envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate';
const previousPriorities = 'envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig';

const defaultBaseIntervalMs = 25;
const defaultMaxResetIntervalMs = 300_000;
const resetFormats = ['seconds', 'unix-timestamp'] as const;

export function compileRetryPolicy(message: RetryPolicy | null, path: string, scope: CompileScope): RetryPolicyModel | null {
  if (message === null) return null;
  return {
    // Envoy ignores a member that it does not know, as the router does here.
    retryOn: message.retry_on
      .split(',')
      .map(member => member.trim())
      .filter(Boolean),
    numRetries: unwrap(message.num_retries, 1),
    perTryTimeoutMs: durationMs(message.per_try_timeout, 0, `${path}.per_try_timeout`),
    perTryIdleTimeoutMs: durationMs(message.per_try_idle_timeout, 0, `${path}.per_try_idle_timeout`),
    statusCodes: message.retriable_status_codes,
    retriableHeaders: compileHeaderMatchers(message.retriable_headers, `${path}.retriable_headers`, scope),
    retriableRequestHeaders: compileHeaderMatchers(message.retriable_request_headers, `${path}.retriable_request_headers`, scope),
    previousHosts: compileHostPredicates(message, path, scope),
    previousPriorities: compilePriority(message, path, scope),
    hostSelectionMaxAttempts: message.host_selection_retry_max_attempts || 1,
    ...compileBackOff(message, path),
    ...compileRateLimitedBackOff(message.rate_limited_retry_back_off, `${path}.rate_limited_retry_back_off`),
  };
}

/** The part of a route's or virtual host's model; `path` is that of the message. */
export function compileHedging(
  message: protos.envoy.config.route.v3.HedgePolicy | null,
  path: string,
): { readonly hedging?: HedgePolicyModel } {
  if (message === null) return {};
  // More requests at the start are accepted without effect, as in Envoy.
  requireRange(unwrap(message.initial_requests, 1), 1, 0xffff_ffff, `${path}.initial_requests`);
  return { hedging: { onPerTryTimeout: message.hedge_on_per_try_timeout } };
}

function compileHostPredicates(message: RetryPolicy, path: string, scope: CompileScope): boolean {
  for (const [i, predicate] of message.retry_host_predicate.entries()) {
    const predicatePath = `${path}.retry_host_predicate[${i}]`;
    if (predicate.typed_config === null) {
      throw unknownExtension('retry host predicate', predicate.name, null, predicatePath);
    }
    openExpected(predicate.typed_config, previousHosts, `${predicatePath}.typed_config`, scope);
  }
  return message.retry_host_predicate.length > 0;
}

function compilePriority(message: RetryPolicy, path: string, scope: CompileScope): RetryPolicyModel['previousPriorities'] {
  const priority = message.retry_priority;
  if (priority === null) return null;
  if (priority.typed_config === null) throw unknownExtension('retry priority', priority.name, null, `${path}.retry_priority`);
  const config = openExpected(priority.typed_config, previousPriorities, `${path}.retry_priority.typed_config`, scope);
  const updateFrequency = (config as { update_frequency: number }).update_frequency;
  if (updateFrequency < 1) {
    throw new ConfigError(`${path}.retry_priority.typed_config.update_frequency`, 'value must be greater than 0');
  }
  return { updateFrequency };
}

function compileBackOff(message: RetryPolicy, path: string): { baseIntervalMs: number; maxIntervalMs: number } {
  const backOff = message.retry_back_off;
  if (backOff === null) return { baseIntervalMs: defaultBaseIntervalMs, maxIntervalMs: defaultBaseIntervalMs * 10 };
  const at = `${path}.retry_back_off`;
  if (backOff.base_interval === null) throw new ConfigError(`${at}.base_interval`, 'value is required');
  const baseIntervalMs = Math.max(1, durationMs(backOff.base_interval, 0, `${at}.base_interval`));
  const maxIntervalMs = durationMs(backOff.max_interval, baseIntervalMs * 10, `${at}.max_interval`);
  if (maxIntervalMs < baseIntervalMs) {
    throw new ConfigError(`${at}.max_interval`, 'retry_policy.max_interval must greater than or equal to the base_interval');
  }
  return { baseIntervalMs, maxIntervalMs };
}

function compileRateLimitedBackOff(
  message: RetryPolicy['rate_limited_retry_back_off'],
  path: string,
): Pick<RetryPolicyModel, 'rateLimitedBackOff'> {
  if (message === null) return {};
  if (message.reset_headers.length === 0) throw new ConfigError(`${path}.reset_headers`, 'value must contain at least 1 item(s)');
  const resetHeaders = message.reset_headers.map(({ name, format }, i) => ({
    name: requireHeaderName(name, `${path}.reset_headers[${i}].name`).toLowerCase(),
    format: resetFormats[format],
  }));
  const maxIntervalMs = positiveDurationMs(message.max_interval, defaultMaxResetIntervalMs, `${path}.max_interval`);
  return { rateLimitedBackOff: { resetHeaders, maxIntervalMs } };
}
