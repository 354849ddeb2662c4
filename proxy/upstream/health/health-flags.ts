/** What active health checks have found of a host: bits, as they cross between threads. */
export const HealthFlag = {
  /** Set until the first check succeeds. */
  failed: 1,
  degraded: 2,
  /** No check is done yet, and until then the host is not to count (`ignore_new_hosts_until_first_hc`). */
  pending: 4,
  /** The last check had no answer in time. */
  timeout: 8,
  /** The host asked to be left out (`x-envoy-immediate-health-check-fail`). */
  excluded: 16,
} as const;

/** Of hosts that are not checked. */
export const noHealthFlags = 0;
