/**
 * One scrape for the pod: the agent's metrics, the proxy's, the application's, in this order. What can be passed on as it comes
 * is not held in memory.
 *
 * Source: handleStats in istio.io/istio pilot/cmd/pilot-agent/status/server.go.
 */
import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import { AgentLogger } from '../log.ts';
import { agentMetrics, renderMetrics } from '../metrics.ts';
import { negotiateFormat, restrictAccept, textFormat } from './metrics-format.ts';
import type { ScrapeTarget } from './scrape-config.ts';

const log = new AgentLogger('default');

/** Of each application target, where there are several. */
const maxAppBytes = 10 * 1024 * 1024;

export type MergeOptions = {
  /** Null if the proxy's statistics are not to be merged. */
  readonly proxyPort: number | null;
  readonly targets: readonly ScrapeTarget[];
};

export type MergedMetrics = {
  readonly contentType: string;
  readonly body: AsyncIterable<Buffer>;
  /** Gives up what is still being read, also if nobody began to. */
  cancel(): void;
};

type Source = 'envoy' | 'application';
type Page = { readonly contentType: string; readonly chunks: readonly Buffer[] };

/** Never rejects: what fails is left out, counted and logged. */
export async function mergeMetrics(options: MergeOptions, query: string, headers: IncomingHttpHeaders): Promise<MergedMetrics> {
  agentMetrics.scrapes.increment();
  const { proxyPort, targets } = options;
  const accept = restrictAccept(headers.accept ?? '', appTypes);
  const isSingle = targets.length === 1;
  const [proxy, app, pages] = await Promise.all([
    proxyPort === null ? null : openProxy(proxyPort, query, headers),
    isSingle ? openTarget(targets[0], headers, accept) : null,
    isSingle ? [] : readTargets(targets, headers, accept),
  ]);
  const types = isSingle ? [app?.headers['content-type'] ?? ''] : pages.map(page => page.contentType);
  const formats = new Set(types.map(negotiateFormat));
  // Mixed formats cannot be concatenated under the name of one.
  const contentType = formats.size === 1 ? [...formats][0] : textFormat;
  async function* write(): AsyncGenerator<Buffer> {
    yield Buffer.from(renderMetrics());
    if (proxy !== null) yield* passOn(proxy, 'envoy');
    if (app !== null) yield* passOn(app, 'application');
    yield* joinBodies(pages, contentType !== textFormat);
  }
  const cancel = (): void => {
    proxy?.destroy();
    app?.destroy();
  };
  return { contentType, body: write(), cancel };
}

async function* passOn(response: IncomingMessage, source: Source): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of response) yield chunk as Buffer;
  } catch (error) {
    noteFailure(source, `failed to read the metrics: ${(error as Error).message}`);
  }
}

function* joinBodies(pages: readonly Page[], openMetrics: boolean): Generator<Buffer> {
  const newline = Buffer.from('\n');
  for (const { chunks } of pages) {
    const stripped = stripEnd(chunks);
    yield* stripped;
    const last = stripped.at(-1)?.at(-1);
    if (last !== undefined && last !== newline[0]) yield newline;
  }
  if (openMetrics && pages.length > 0) yield Buffer.from('# EOF\n');
}

/** More than the line that ends an exposition, with any white space that follows it. */
const endBytes = 64;

/** Without the line that ends an OpenMetrics exposition, and without empty chunks. */
function stripEnd(chunks: readonly Buffer[]): readonly Buffer[] {
  let start = chunks.length;
  for (let length = 0; start > 0 && length < endBytes; ) length += chunks[--start].length;
  const tail = Buffer.concat(chunks.slice(start));
  const text = tail.subarray(-endBytes).toString('latin1');
  const match = /# EOF\s*$/.exec(text);
  const kept = match === null ? tail : tail.subarray(0, tail.length - (text.length - match.index));
  return [...chunks.slice(0, start), kept].filter(chunk => chunk.length > 0);
}

const proxyTypes = ['text/*', 'text/plain'] as const;
const appTypes = ['text/*', 'text/plain', 'application/openmetrics-text'] as const;

function noteFailure(source: Source, reason: string): void {
  log.error(`failed scraping ${source} metrics: ${reason}`);
  agentMetrics.scrapeFailures.increment({ type: source });
}

async function openProxy(port: number, query: string, headers: IncomingHttpHeaders): Promise<IncomingMessage | null> {
  const url = `http://localhost:${port}/stats/prometheus${query === '' ? '' : `?${query}`}`;
  try {
    return await open(url, headers, restrictAccept(headers.accept ?? '', proxyTypes));
  } catch (error) {
    noteFailure('envoy', (error as Error).message);
    return null;
  }
}

async function openTarget(
  { port, path }: ScrapeTarget,
  headers: IncomingHttpHeaders,
  accept: string,
): Promise<IncomingMessage | null> {
  try {
    return await open(`http://localhost:${port}${path}`, headers, accept);
  } catch (error) {
    noteFailure('application', `${JSON.stringify(`${port}:${path}`)}: ${(error as Error).message}`);
    return null;
  }
}

/** Several targets are held: their ends have to be rewritten, and a failed one leaves nothing of itself. */
async function readTargets(targets: readonly ScrapeTarget[], headers: IncomingHttpHeaders, accept: string): Promise<Page[]> {
  const pages = await Promise.all(
    targets.map(async target => {
      const response = await openTarget(target, headers, accept);
      if (response === null) return null;
      try {
        return { contentType: response.headers['content-type'] ?? '', chunks: await readWhole(response) };
      } catch (error) {
        noteFailure('application', `${JSON.stringify(`${target.port}:${target.path}`)}: ${(error as Error).message}`);
        return null;
      }
    }),
  );
  return pages.filter(page => page !== null);
}

async function readWhole(response: IncomingMessage): Promise<readonly Buffer[]> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response) {
    chunks.push(chunk as Buffer);
    length += (chunk as Buffer).length;
    if (length > maxAppBytes) throw new Error(`response exceeds ${maxAppBytes} bytes; dropping target`);
  }
  return chunks;
}

/** Rejects if there is no answer with status 200. */
function open(url: string, incoming: IncomingHttpHeaders, accept: string): Promise<IncomingMessage> {
  const timeoutText = incoming['x-prometheus-scrape-timeout-seconds'];
  const timeoutMs = Number(timeoutText ?? Number.NaN) * 1000;
  const headers: Record<string, string> = { accept };
  if (incoming['user-agent'] !== undefined) headers['user-agent'] = incoming['user-agent'];
  if (typeof timeoutText === 'string') headers['x-prometheus-scrape-timeout-seconds'] = timeoutText;
  const signal = timeoutMs > 0 ? AbortSignal.timeout(timeoutMs) : undefined;
  return new Promise((resolve, reject) => {
    const exchange = request(url, { headers, agent: false, signal }, response => {
      // It may fail before anyone reads it; who reads it is told by the reading.
      response.on('error', () => {});
      if (response.statusCode === 200) {
        resolve(response);
        return;
      }
      response.destroy();
      reject(new Error(`error scraping ${url}, status code: ${response.statusCode}`));
    });
    exchange.on('error', error => reject(new Error(`error scraping ${url}: ${error.message}`)));
    exchange.end();
  });
}
