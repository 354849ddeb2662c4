/** The status ports of the real pilot-agent and of this agent, asked the same: the same answers. */
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { type AgentProcess, startAgent } from '../integration/agent/agent-process.ts';
import { findPilotAgent } from '../integration/iptables/original.ts';
import { findFreePort } from '../support/proxy-process.ts';

const original = findPilotAgent();
const skip = original === null && 'no pilot-agent (npm run mesh -- tools)';

type Question = { readonly method?: string; readonly path: string; readonly headers?: Readonly<Record<string, string>> };
type Answer = { readonly status: number; readonly headers: unknown; readonly body: string };

/** An application: metrics, a page that fails, redirects, and one that says how it was asked. */
async function startApplication(t: Test): Promise<number> {
  const server = createServer(({ method, url, headers }, response) => {
    if (url === '/redirect') response.writeHead(302, { location: '/there' }).end();
    else if (url === '/away') response.writeHead(302, { location: 'http://example.test/' }).end();
    else if (url === '/fail') response.writeHead(503).end('no');
    else if (url === '/metrics') {
      response.setHeader('content-type', 'application/openmetrics-text; version=1.0.0; charset=utf-8');
      response.end('application 1\n# EOF\n');
    } else response.end(`${method} ${url} of ${headers['x-own'] ?? 'nobody'} at ${headers.host?.replace(/:\d+$/, '')}`);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}

const ownMetrics = /^(#|(istio|pilot|process|go|scrape|xds|dns|envoy|cert|num|outgoing|wasm)\w*[ {])/;

/** What a client makes of an answer; of metrics the application's, as the agents' own differ. */
function ask(port: number, { method = 'GET', path, headers = {} }: Question): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const exchange = request({ port, host: '127.0.0.1', method, path, headers, agent: false }, response => {
      let text = '';
      response.on('data', chunk => {
        text += chunk;
      });
      response.on('end', () => {
        const lines = text.split('\n').filter(line => line === '# EOF' || !ownMetrics.test(line));
        const { 'content-type': type, vary, 'x-content-type-options': options } = response.headers;
        // Without a body its type says nothing.
        const seen = { type: text === '' ? undefined : type, vary, options };
        resolve({ status: response.statusCode ?? 0, headers: seen, body: lines.join('\n') });
      });
    });
    exchange.on('error', reject);
    exchange.end();
  });
}

const probes = {
  '/app-health/app/livez': '/page?a=b',
  '/app-health/app/readyz': '/redirect',
  '/app-health/app/startupz': '/fail',
  '/app-health/away/livez': '/away',
  '/app-lifecycle/app/prestopz': '/stop',
} as const;

const questions: readonly Question[] = [
  ...['GET', 'HEAD', 'POST', 'PUT', 'OPTIONS'].flatMap(method =>
    ['/healthz/ready', '/', '/nothing', '/app-health/app/livez', '/app-health/none/livez'].map(path => ({ method, path })),
  ),
  ...['GET', 'HEAD', 'PUT'].flatMap(method => ['/quitquitquit', '/drain'].map(path => ({ method, path }))),
  ...[...Object.keys(probes), '/app-health/tcp/livez', '/app-health/tcp/readyz', '/app-health/dead/livez'].map(path => ({
    path,
  })),
  ...['/app-health/', '/app-health/app', '/app-health/app/livez/', '/app-health/app/livez?q=1'].map(path => ({ path })),
  ...['/healthz/ready/', '/healthz/ready?x', '/metrics/', '/stats', '/debug/ndsz', '/quitquitquit/'].map(path => ({ path })),
  { path: '/app-health/app/livez', headers: { host: 'own.host', 'x-own': 'me', 'user-agent': 'kube-probe/1.3' } },
  ...['', 'application/openmetrics-text', 'text/plain', '*/*', 'application/vnd.google.protobuf', 'x'].flatMap(accept =>
    ['/stats/prometheus', '/metrics?filter=x'].map(path => ({ path, headers: accept === '' ? {} : { accept } })),
  ),
];

t.test('status ports', { skip, timeout: 120_000 }, async t => {
  const application = await startApplication(t);
  const nobody = await findFreePort();
  const probers = {
    ...Object.fromEntries(
      Object.entries(probes).map(([path, page]) => [path, { httpGet: { path: page, port: application }, timeoutSeconds: 5 }]),
    ),
    '/app-health/tcp/livez': { tcpSocket: { port: application } },
    '/app-health/tcp/readyz': { tcpSocket: { port: nobody } },
    '/app-health/dead/livez': { httpGet: { path: '/', port: nobody } },
  };
  const variables = {
    DISABLE_ENVOY: 'true',
    ISTIO_KUBE_APP_PROBERS: JSON.stringify(probers),
    ISTIO_PROMETHEUS_ANNOTATIONS: JSON.stringify({ scrape: 'true', port: String(application) }),
  };
  const agents: AgentProcess[] = [];
  for (const command of [[original as string], undefined] as const) {
    agents.push(await startAgent(t, command === undefined ? { variables } : { variables, command }));
  }
  await Promise.all(agents.map(agent => agent.serving()));
  for (const question of questions) {
    const [expected, actual] = await Promise.all(agents.map(({ statusPort }) => ask(statusPort, question)));
    t.strictSame(actual, expected, JSON.stringify(question));
  }
});
