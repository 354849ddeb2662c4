/** A local rate limit holds for the process: two workers take their tokens from one bucket. */
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { findFreePort, getAdmin, ownCommand, startProxy } from '../support/proxy-process.ts';
import { httpFilter, staticListener } from './static-bootstrap.ts';

const tokens = 50;
const requestCount = 300;
const connectionCount = 20;

const always = { default_value: { numerator: 100 } };
const router = {
  name: 'envoy.filters.http.router',
  typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
};
const limit = {
  name: 'envoy.filters.http.local_ratelimit',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit',
    stat_prefix: 'shared',
    token_bucket: { max_tokens: tokens, fill_interval: '3600s' },
    filter_enabled: always,
    filter_enforced: always,
  },
};

t.test('two workers give out no more tokens than there are', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'shared-rate-limit-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const port = await findFreePort();
  const virtualHost = { name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, direct_response: { status: 200 } }] };
  const filter = httpFilter('none', { http_filters: [limit, router], route_config: { virtual_hosts: [virtualHost] } });
  const bootstrap = { static_resources: { listeners: [staticListener({ port, filter })] } };
  const proxy = await startProxy({ name: 'own', ...ownCommand(), bootstrap, folder, concurrency: 2 });
  t.teardown(() => proxy.stop());
  const agent = new Agent({ keepAlive: true, maxSockets: connectionCount });
  t.teardown(() => agent.destroy());
  const ask = (): Promise<number> =>
    new Promise((resolve, reject) =>
      request({ port, host: '127.0.0.1', agent }, response => {
        response.resume().on('end', () => resolve(response.statusCode ?? 0));
      })
        .on('error', reject)
        .end(),
    );
  const statuses = await Promise.all(Array.from({ length: requestCount }, ask));
  t.equal(statuses.filter(status => status === 200).length, tokens);
  t.equal(statuses.filter(status => status === 429).length, requestCount - tokens);
  const stats = await getAdmin(proxy.adminPort, '/stats?filter=worker_.*downstream_cx_total');
  t.notMatch(stats, /: 0$/m, 'both workers had connections');
});
