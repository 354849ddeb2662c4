import t from 'tap';
import { once } from 'node:events';
import { createServer, get, type IncomingMessage, request, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { StatusServer, type StatusServerOptions } from '../../../../agent/status/status-server.ts';

type Tap = { teardown(handler: () => unknown): void };

async function serve(t: Tap, answer: RequestListener): Promise<number> {
  const server = createServer(answer).listen(0);
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function startStatus(t: Tap, options: Partial<StatusServerOptions> = {}): Promise<number> {
  const server = new StatusServer({
    port: 0,
    checks: [],
    probes: new Map(),
    probeTarget: { destination: '127.0.0.1', sourceAddress: '127.0.0.6', statusPort: 15020 },
    metrics: { proxyPort: null, targets: [] },
    metricsLocalhostOnly: false,
    profiling: false,
    fetchNameTable: () => null,
    onQuit: () => {},
    onDrain: () => {},
    ...options,
  });
  t.teardown(() => server.close());
  return server.listen();
}

type Answer = { readonly status: number; readonly type: string; readonly body: Buffer; readonly encoding: string };

function fetchPath(port: number, path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const exchange = request({ host: '127.0.0.1', port, path, headers, method, agent: false }, async response => {
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk as Buffer);
      const { 'content-type': type = '', 'content-encoding': encoding = '' } = response.headers;
      resolve({ status: response.statusCode ?? 0, type, body: Buffer.concat(chunks), encoding });
    });
    exchange.on('error', reject);
    exchange.end();
  });
}

const scrapeFailures = (text: string, type: string): number =>
  Number(new RegExp(`istio_agent_scrape_failures_total\\{type="${type}"\\} (\\d+)`).exec(text)?.[1] ?? 0);

const openMetrics = 'application/openmetrics-text; version=1.0.0; charset=utf-8';
const textWith =
  (body: string, type = 'text/plain'): RequestListener =>
  (_request, response) =>
    response.setHeader('content-type', type).end(body);

t.test('the metrics of agent, proxy and application come in this order, with query and headers passed on', async t => {
  const seen: IncomingMessage[] = [];
  const proxyPort = await serve(t, (request, response) => {
    seen.push(request);
    response.end('envoy_x 1\n');
  });
  const app = await serve(t, (request, response) => {
    seen.push(request);
    response.end('app_x 1\n');
  });
  const targets = [{ port: String(app), path: '/m' }];
  const port = await startStatus(t, { metrics: { proxyPort, targets } });
  const headers = { 'user-agent': 'Prometheus/3', 'x-prometheus-scrape-timeout-seconds': '5' };
  const { status, type, body } = await fetchPath(port, '/stats/prometheus?usedonly', headers);
  t.equal(status, 200);
  t.equal(type, 'text/plain; version=0.0.4; charset=utf-8');
  t.match(body.toString(), /istio_agent_process_open_fds \d+[\s\S]*\nenvoy_x 1\napp_x 1\n$/);
  const urls = seen.map(({ url }) => url).toSorted();
  t.strictSame(urls, ['/m', '/stats/prometheus?usedonly']);
  for (const request of seen) t.match(request.headers, headers);
});

t.test('one target passes whole whatever its size, of several those above 10 MiB are left out', async t => {
  const line = `${'x'.repeat(1023)}\n`;
  const large = await serve(t, textWith(line.repeat(11 * 1024)));
  const small = await serve(t, textWith('app_small 1'));
  const one = await startStatus(t, { metrics: { proxyPort: null, targets: [{ port: String(large), path: '/' }] } });
  const before = await fetchPath(one, '/metrics');
  t.ok(before.body.length > 11 * 1024 * 1024);
  const targets = [large, small].map(port => ({ port: String(port), path: '/' }));
  const two = await startStatus(t, { metrics: { proxyPort: null, targets } });
  const failures = scrapeFailures(before.body.toString(), 'application');
  const { status, body } = await fetchPath(two, '/metrics');
  t.equal(status, 200);
  t.match(body.toString(), /\napp_small 1\n$/);
  t.notMatch(body.toString(), 'xxxx');
  t.equal(scrapeFailures(body.toString(), 'application'), failures + 1);
});

t.test('OpenMetrics of several targets end once, and mixed formats are plain text', async t => {
  const first = await serve(t, textWith('a 1\n# EOF\n', openMetrics));
  const second = await serve(t, textWith('b 1\n# EOF\r\n', openMetrics));
  const plain = await serve(t, textWith('c 1\n'));
  const listOf = (ports: readonly number[]) => ports.map(port => ({ port: String(port), path: '/' }));
  const both = await startStatus(t, { metrics: { proxyPort: null, targets: listOf([first, second]) } });
  const headers = { accept: 'application/openmetrics-text;version=1.0.0,text/plain' };
  const merged = await fetchPath(both, '/metrics', headers);
  t.equal(merged.type, openMetrics);
  t.match(merged.body.toString(), /\na 1\nb 1\n# EOF\n$/);
  const mixed = await startStatus(t, { metrics: { proxyPort: null, targets: listOf([first, plain]) } });
  const text = await fetchPath(mixed, '/metrics', headers);
  t.match(text.type, /^text\/plain/);
  t.match(text.body.toString(), /\na 1\nc 1\n$/);
});

t.test('what fails is left out and counted, never an error of the scrape', async t => {
  const proxyPort = await serve(t, (_request, response) => void response.writeHead(500).end());
  const app = await serve(t, (_request, response) => {
    response.writeHead(200, { 'content-length': 100 });
    response.write('app_x 1\n', () => response.destroy());
  });
  const port = await startStatus(t, { metrics: { proxyPort, targets: [{ port: String(app), path: '/' }] } });
  const first = await fetchPath(port, '/metrics');
  t.equal(first.status, 200);
  const again = (await fetchPath(port, '/metrics')).body.toString();
  t.equal(scrapeFailures(again, 'application'), scrapeFailures(first.body.toString(), 'application') + 1);
  t.equal(scrapeFailures(again, 'envoy'), scrapeFailures(first.body.toString(), 'envoy') + 1);
});

t.test('a scrape that is given up gives up what it scrapes', async t => {
  let closed = false;
  const app = await serve(t, (_request, response) => {
    response.write('app_x 1\n');
    response.on('close', () => {
      closed = true;
    });
  });
  const port = await startStatus(t, { metrics: { proxyPort: null, targets: [{ port: String(app), path: '/' }] } });
  await new Promise<void>(resolve => {
    const exchange = get({ host: '127.0.0.1', port, path: '/metrics', agent: false }, response => {
      response.once('data', () => exchange.destroy());
      response.on('error', () => {});
      response.once('close', resolve);
    });
    exchange.on('error', () => {});
  });
  while (!closed) await new Promise(resolve => setImmediate(resolve));
});

t.test('metrics are compressed for those who take it', async t => {
  const app = await serve(t, textWith('app_x 1\n'));
  const port = await startStatus(t, { metrics: { proxyPort: null, targets: [{ port: String(app), path: '/' }] } });
  const { encoding, body } = await fetchPath(port, '/metrics', { 'accept-encoding': 'gzip' });
  t.equal(encoding, 'gzip');
  t.match(gunzipSync(body).toString(), /\napp_x 1\n$/);
});

t.test('quit and drain are commands: by POST, and told once they are answered', async t => {
  const commands: string[] = [];
  const port = await startStatus(t, { onQuit: () => commands.push('quit'), onDrain: () => commands.push('drain') });
  t.equal((await fetchPath(port, '/quitquitquit')).status, 405);
  t.strictSame(commands, []);
  t.equal((await fetchPath(port, '/drain', {}, 'POST')).body.toString(), 'OK');
  t.equal((await fetchPath(port, '/quitquitquit', {}, 'POST')).status, 200);
  t.strictSame(commands, ['drain', 'quit']);
});

t.test('readiness is 503 with the reason until every check passes', async t => {
  let reason: string | null = 'config not received';
  const port = await startStatus(t, { checks: [async () => reason, async () => null] });
  const before = await fetchPath(port, '/healthz/ready');
  t.equal(before.status, 503);
  t.equal(before.body.toString(), 'config not received\n');
  reason = null;
  const after = await fetchPath(port, '/healthz/ready');
  t.equal(after.status, 200);
  t.equal(after.body.length, 0);
});

t.test('profiles are taken in the formats of Node, one at a time', async t => {
  const port = await startStatus(t, { profiling: true });
  t.match((await fetchPath(port, '/debug/pprof/')).body.toString(), 'heap');
  const [profile, second] = await Promise.all([
    fetchPath(port, '/debug/pprof/profile?seconds=0.1'),
    fetchPath(port, '/debug/pprof/profile?seconds=0.1'),
  ]);
  const [good, refused] = profile.status === 200 ? [profile, second] : [second, profile];
  t.ok(Array.isArray(JSON.parse(good.body.toString()).samples));
  t.equal(refused.status, 500);
  t.match(refused.body.toString(), 'already in use');
  t.match(JSON.parse((await fetchPath(port, '/debug/pprof/heap')).body.toString()), { snapshot: {}, nodes: [] });
  t.equal((await fetchPath(port, '/debug/pprof/goroutine')).status, 404);
});

t.test('a probe of a path that nobody configured is refused, and an unknown page is not found', async t => {
  const port = await startStatus(t);
  t.equal((await fetchPath(port, '/app-health/a/livez')).status, 400);
  t.equal((await fetchPath(port, '/elsewhere')).status, 404);
  t.equal((await fetchPath(port, '/debug/ndsz')).status, 404);
});
