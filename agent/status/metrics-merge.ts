/**
 * One scrape for the pod: the agent's metrics, the proxy's, the application's, in this order.
 *
 * Source: handleStats in istio.io/istio pilot/cmd/pilot-agent/status/server.go.
 */
import { type IncomingHttpHeaders, request } from 'node:http';
import { AgentLogger } from '../log.ts';
import { agentMetrics, renderMetrics } from '../metrics.ts';
import { negotiateFormat, restrictAccept, textFormat } from './metrics-format.ts';
import type { ScrapeTarget } from './scrape-config.ts';

const log = new AgentLogger('default');

const maxAppBytes = 10 * 1024 * 1024;

export type MergeOptions = {
  /** Null if the proxy's statistics are not to be merged. */
  readonly proxyPort: number | null;
  readonly targets: readonly ScrapeTarget[];
};

export type MergedMetrics = { readonly contentType: string; readonly body: Buffer };
type Scraped = { readonly contentType: string; readonly body: Buffer };

/** Never rejects: what fails is left out, counted and logged. */
export async function mergeMetrics(options: MergeOptions, query: string, headers: IncomingHttpHeaders): Promise<MergedMetrics> {
  agentMetrics.scrapes.increment();
  const [proxy, apps] = await Promise.all([scrapeProxy(options.proxyPort, query, headers), scrapeApps(options.targets, headers)]);
  const own = Buffer.from(renderMetrics());
  const formats = new Set(apps.map(app => negotiateFormat(app.contentType)));
  // Mixed formats cannot be concatenated under the name of one.
  const contentType = formats.size === 1 ? [...formats][0] : textFormat;
  const single = options.targets.length === 1;
  const parts = single ? apps.map(app => app.body) : joinBodies(apps, contentType !== textFormat);
  return { contentType, body: Buffer.concat([own, ...(proxy === null ? [] : [proxy.body]), ...parts]) };
}

function joinBodies(apps: readonly Scraped[], openMetrics: boolean): readonly Buffer[] {
  const newline = Buffer.from('\n');
  const bodies = apps.flatMap(({ body }) => {
    const stripped = stripEnd(body);
    return stripped.length > 0 && stripped.at(-1) !== newline[0] ? [stripped, newline] : [stripped];
  });
  return openMetrics && apps.length > 0 ? [...bodies, Buffer.from('# EOF\n')] : bodies;
}

/** Without the line that ends an OpenMetrics exposition. */
function stripEnd(body: Buffer): Buffer {
  const text = body.subarray(-64).toString('latin1');
  const match = /# EOF\s*$/.exec(text);
  return match === null ? body : body.subarray(0, body.length - (text.length - match.index));
}

const proxyTypes = ['text/*', 'text/plain'] as const;
const appTypes = ['text/*', 'text/plain', 'application/openmetrics-text'] as const;

async function scrapeProxy(port: number | null, query: string, headers: IncomingHttpHeaders): Promise<Scraped | null> {
  if (port === null) return null;
  const url = `http://localhost:${port}/stats/prometheus${query === '' ? '' : `?${query}`}`;
  try {
    return await scrape(url, headers, restrictAccept(headers.accept ?? '', proxyTypes), Number.POSITIVE_INFINITY);
  } catch (error) {
    log.error(`failed scraping envoy metrics: ${(error as Error).message}`);
    agentMetrics.scrapeFailures.increment({ type: 'envoy' });
    return null;
  }
}

async function scrapeApps(targets: readonly ScrapeTarget[], headers: IncomingHttpHeaders): Promise<readonly Scraped[]> {
  if (targets.length === 0) return [];
  const accept = restrictAccept(headers.accept ?? '', appTypes);
  const limit = targets.length > 1 ? maxAppBytes : Number.POSITIVE_INFINITY;
  const results = await Promise.all(
    targets.map(async ({ port, path }) => {
      try {
        return await scrape(`http://localhost:${port}${path}`, headers, accept, limit);
      } catch (error) {
        log.error(`failed scraping application metrics of ${JSON.stringify(`${port}:${path}`)}: ${(error as Error).message}`);
        agentMetrics.scrapeFailures.increment({ type: 'application' });
        return null;
      }
    }),
  );
  return results.filter(result => result !== null);
}

function scrape(url: string, incoming: IncomingHttpHeaders, accept: string, limitBytes: number): Promise<Scraped> {
  const timeoutText = incoming['x-prometheus-scrape-timeout-seconds'];
  const timeoutMs = Number(timeoutText ?? Number.NaN) * 1000;
  const headers: Record<string, string> = { accept };
  if (incoming['user-agent'] !== undefined) headers['user-agent'] = incoming['user-agent'];
  if (typeof timeoutText === 'string') headers['x-prometheus-scrape-timeout-seconds'] = timeoutText;
  const signal = timeoutMs > 0 ? AbortSignal.timeout(timeoutMs) : undefined;
  return new Promise((resolve, reject) => {
    const exchange = request(url, { headers, agent: false, signal }, response => {
      if (response.statusCode !== 200) {
        response.resume();
        reject(new Error(`error scraping ${url}, status code: ${response.statusCode}`));
        return;
      }
      const chunks: Buffer[] = [];
      let length = 0;
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        length += chunk.length;
        if (length > limitBytes) exchange.destroy(new Error(`response exceeds ${limitBytes} bytes; dropping target`));
      });
      response.on('error', reject);
      response.on('end', () => resolve({ contentType: response.headers['content-type'] ?? '', body: Buffer.concat(chunks) }));
    });
    exchange.on('error', error => reject(new Error(`error scraping ${url}: ${error.message}`)));
    exchange.end();
  });
}
