/**
 * The agent's own metrics and their Prometheus text (format 0.0.4).
 *
 * Source: the istio_agent_* names of istio.io/istio (pilot-agent, istio-agent, security and dns packages).
 */
import { processReadings } from './process-readings.ts';

type Labels = Readonly<Record<string, string>>;

interface Metric {
  readonly name: string;
  render(): string;
}

const metrics: Metric[] = [];
const prefix = 'istio_agent_';

function renderLabels(labels: Labels): string {
  const entries = Object.entries(labels);
  if (entries.length === 0) return '';
  return `{${entries.map(([name, value]) => `${name}="${value.replace(/[\\"\n]/g, escapeCharacter)}"`).join(',')}}`;
}

function escapeCharacter(character: string): string {
  return character === '\n' ? '\\n' : `\\${character}`;
}

/** A count that only grows, per label set. Absent from the output until its first increment. */
export class Counter implements Metric {
  readonly name: string;
  readonly #help: string;
  readonly #values = new Map<string, number>();

  constructor(name: string, help: string) {
    this.name = prefix + name;
    this.#help = help;
    metrics.push(this);
  }

  increment(labels: Labels = {}): void {
    const key = renderLabels(labels);
    this.#values.set(key, (this.#values.get(key) ?? 0) + 1);
  }

  /** The count of one label set, for tests. */
  value(labels: Labels = {}): number {
    return this.#values.get(renderLabels(labels)) ?? 0;
  }

  render(): string {
    return renderSeries(this.name, this.#help, 'counter', this.#values);
  }
}

/** A value that is set, or computed when read. */
export class Gauge implements Metric {
  readonly name: string;
  readonly #help: string;
  readonly #values = new Map<string, number | (() => number)>();

  constructor(name: string, help: string) {
    this.name = prefix + name;
    this.#help = help;
    metrics.push(this);
  }

  set(value: number | (() => number), labels: Labels = {}): void {
    this.#values.set(renderLabels(labels), value);
  }

  render(): string {
    const values = [...this.#values].map(([key, value]) => [key, typeof value === 'number' ? value : value()] as const);
    return renderSeries(this.name, this.#help, 'gauge', new Map(values));
  }
}

/** Observations in fixed buckets. */
export class Distribution implements Metric {
  readonly name: string;
  readonly #help: string;
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;
  #count = 0;

  constructor(name: string, help: string, bounds: readonly number[]) {
    this.name = prefix + name;
    this.#help = help;
    this.#bounds = bounds;
    this.#counts = bounds.map(() => 0);
    metrics.push(this);
  }

  record(value: number): void {
    this.#sum += value;
    this.#count++;
    for (let i = 0; i < this.#bounds.length; i++) if (value <= this.#bounds[i]) this.#counts[i]++;
  }

  render(): string {
    if (this.#count === 0) return '';
    const buckets = this.#bounds.map((bound, i) => `${this.name}_bucket{le="${bound}"} ${this.#counts[i]}\n`).join('');
    const total = `${this.name}_bucket{le="+Inf"} ${this.#count}\n`;
    const sums = `${this.name}_sum ${this.#sum}\n${this.name}_count ${this.#count}\n`;
    return `# HELP ${this.name} ${this.#help}\n# TYPE ${this.name} histogram\n${buckets}${total}${sums}`;
  }
}

function renderSeries(name: string, help: string, type: string, values: ReadonlyMap<string, number>): string {
  if (values.size === 0) return '';
  const lines = [...values].map(([labels, value]) => `${name}${labels} ${value}\n`);
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`;
}

/** Everything as text, in the order of names. */
export function renderMetrics(): string {
  return metrics
    .toSorted((left, right) => (left.name < right.name ? -1 : 1))
    .map(metric => metric.render())
    .join('');
}

/** The metrics of all parts of the agent. */
export const agentMetrics = {
  startupDurationSeconds: new Gauge('startup_duration_seconds', 'The time from the process starting to being marked ready.'),
  scrapes: new Counter('scrapes_total', 'The total number of scrapes.'),
  scrapeFailures: new Counter('scrape_failures_total', 'The total number of failed scrapes.'),
  istiodConnectionFailures: new Counter('istiod_connection_failures', 'The total number of connection failures to Istiod'),
  istiodConnectionTerminations: new Counter('istiod_connection_terminations', 'The total number of connection errors to Istiod'),
  envoyConnectionTerminations: new Counter('envoy_connection_terminations', 'The total number of connection errors from envoy'),
  xdsProxyRequests: new Counter('xds_proxy_requests', 'The total number of Xds Proxy Requests'),
  xdsProxyResponses: new Counter('xds_proxy_responses', 'The total number of Xds Proxy Responses'),
  certExpirySeconds: new Gauge(
    'cert_expiry_seconds',
    'The time remaining, in seconds, before the certificate chain will expire.',
  ),
  outgoingRequests: new Counter(
    'num_outgoing_requests',
    'Number of total outgoing requests (e.g. to a token exchange server, CA, etc.)',
  ),
  failedOutgoingRequests: new Counter('num_failed_outgoing_requests', 'Number of failed outgoing requests.'),
  outgoingRetries: new Counter('num_outgoing_retries', 'Number of outgoing retry requests.'),
  outgoingLatencyMs: new Gauge('outgoing_latency', 'The latency of outgoing requests in milliseconds.'),
  fileWatcherFailures: new Counter('num_file_watcher_failures_total', 'Number of times file watcher failed to add watchers'),
  fileSecretFailures: new Counter('num_file_secret_failures_total', 'Number of times secret generation failed for files'),
  dnsRequests: new Counter('dns_requests_total', 'Total number of DNS requests.'),
  dnsUpstreamRequests: new Counter('dns_upstream_requests_total', 'Total number of DNS requests forwarded to upstream.'),
  dnsUpstreamFailures: new Counter('dns_upstream_failures_total', 'Total number of DNS failures from upstream.'),
  dnsUpstreamDurationSeconds: new Distribution(
    'dns_upstream_request_duration_seconds',
    'Total time in seconds Istio takes to get DNS response from upstream.',
    [0.001, 0.005, 0.01, 0.1, 1, 5],
  ),
} as const;

for (const [name, help, read] of processReadings) new Gauge(name, help).set(read);
