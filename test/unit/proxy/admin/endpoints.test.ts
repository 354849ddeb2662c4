import { readFileSync } from 'node:fs';
import t from 'tap';
import { makeCluster, makeHost, startFixture } from './fixture.ts';

const golden = (name: string) => readFileSync(new URL(`../../../golden/admin/${name}`, import.meta.url), 'utf8');

t.test('/help is the text of Envoy 1.40, and unknown paths are answered with it', async t => {
  const { get } = await startFixture(t);
  t.equal((await get('/help')).body, golden('help.txt'));
  const unknown = await get('/nope');
  t.equal(unknown.status, 404);
  t.equal(unknown.body, `invalid path. ${golden('help.txt')}`);
});

t.test('what changes something needs POST', async t => {
  const { get, post, calls } = await startFixture(t);
  for (const path of [
    '/quitquitquit',
    '/drain_listeners',
    '/healthcheck/fail',
    '/healthcheck/ok',
    '/reset_counters',
    '/logging',
  ]) {
    t.match(await get(path), { status: 405, body: 'Method GET not allowed, POST required.' }, path);
  }
  t.match(await post('/healthcheck/fail'), { status: 200, body: 'OK\n' });
  t.match(await post('/drain_listeners?graceful&inboundonly'), { status: 200, body: 'OK\n' });
  t.match(await post('/reopen_logs'), { status: 200, body: 'OK\n' });
  t.match(await post('/quitquitquit'), { status: 200, body: 'OK\n' });
  t.same(calls, ['health check failed: true', 'drain {"graceful":true,"skipExit":false,"inboundOnly":true}', 'reopen', 'quit']);
});

t.test('answers have the headers of Envoy', async t => {
  const { get } = await startFixture(t);
  t.match(await get('/ready'), { status: 200, type: 'text/plain; charset=UTF-8', body: 'LIVE\n' });
  t.match(await get('/hot_restart_version'), { body: 'disabled' });
  t.match(await get('/contention'), {
    body: 'Mutex contention tracing is not enabled. To enable, run Envoy with flag --enable-mutex-tracing.',
  });
  t.match(await get('/init_dump'), { type: 'application/json', body: '{}\n' });
  t.match(await get('/runtime'), { body: '{\n "entries": {},\n "layers": []\n}\n' });
  t.match(await get('/certs'), { body: '{\n "certificates": []\n}\n' });
  t.match(await get('/'), { type: 'text/html; charset=UTF-8' });
});

t.test('/ready is 503 until the server is live', async t => {
  const { context } = await startFixture(t);
  const { get } = await startFixture(t, { server: { ...context.server, state: 'INITIALIZING' } });
  t.match(await get('/ready'), { status: 503, body: 'INITIALIZING\n' });
});

t.test('/logging shows and changes levels', async t => {
  const { post, calls } = await startFixture(t);
  const shown = await post('/logging');
  t.match(shown.body, /^active loggers:\n {2}a2a: \w+\n/);
  t.match((await post('/logging?level=foo')).body, /^error: unknown logger level\n\nusage: \/logging\?<name>=<level>/);
  t.match((await post('/logging?foo=debug')).body, /^error: unknown logger name\n/);
  t.match((await post('/logging?level=info&http=debug')).body, /^error: invalid number of parameters\n/);
  t.equal((await post('/logging?paths=http:debug,rbac:warn')).status, 200);
  t.equal((await post('/logging?level=debug')).status, 200);
  t.equal((await post('/logging?router=trace')).status, 200);
  t.same(calls, ['log null {"http":"debug","rbac":"warning"}', 'log debug {}', 'log null {"router":"trace"}']);
});

t.test('/clusters is the text and JSON of Envoy 1.40 for the same hosts', async t => {
  const { clusters, get } = await startFixture(t);
  const unlimited = {
    maxConnections: 4294967295,
    maxPendingRequests: 4294967295,
    maxRequests: 4294967295,
    maxRetries: 4294967295,
  };
  const limits = { maxConnections: 1024, maxPendingRequests: 1024, maxRequests: 1024, maxRetries: 3 };
  const locality = { region: 'r', zone: 'z', subZone: '' };
  clusters.push(
    makeCluster({ name: 'waits', discovery: { kind: 'eds', serviceName: '' } }, [], false),
    makeCluster(
      {
        name: 'outbound|80||svc',
        statName: 'outbound|80||svc;',
        discovery: { kind: 'eds', serviceName: 'esvc' },
        outlierDetection: {} as never,
        circuitBreakers: [unlimited, limits] as never,
      },
      [
        makeHost(
          {
            address: { kind: 'socket', address: '10.0.0.1', port: 80 },
            hostname: 'h1',
            weight: 2,
            health: 'unhealthy',
            metadata: { 'envoy.lb': { canary: true } },
          },
          { locality },
        ),
        makeHost({ address: { kind: 'socket', address: '10.0.0.2', port: 80 }, health: 'draining' }, { locality }),
        makeHost({ address: { kind: 'pipe', path: '/tmp/x' }, health: 'degraded' }, { locality }),
        makeHost({ address: { kind: 'socket', address: '::1', port: 80 } }, { priority: 1 }),
      ],
    ),
  );
  t.equal((await get('/clusters')).body, golden('clusters.txt'));
  t.equal((await get('/clusters?format=json')).body, golden('clusters.txt.json'));
  t.match((await get('/clusters?filter=^wai')).body, /^waits::observability_name::waits\n/);
  t.match(await get('/clusters?filter=('), { status: 400, body: 'Invalid re2 regex' });
});

t.test('/runtime shows each layer, /runtime_modify changes the admin layer', async t => {
  const admin: { [key: string]: string } = {};
  const { get, post } = await startFixture(t, {
    runtime: {
      hasAdminLayer: true,
      get layers() {
        return [
          { name: 'global config', values: { n: 5 } },
          { name: 'admin', values: admin },
        ];
      },
      values: {},
      modify: changes => {
        Object.assign(admin, changes);
      },
    },
  });
  t.match(await post('/runtime_modify?n=6&foo=bar'), { status: 200, body: 'OK\n' });
  t.same(JSON.parse((await get('/runtime')).body), {
    entries: { foo: { layer_values: ['', 'bar'], final_value: 'bar' }, n: { layer_values: ['5', '6'], final_value: '6' } },
    layers: ['global config', 'admin'],
  });
  t.match(await post('/runtime_modify'), { status: 400, body: /^usage: \/runtime_modify/ });
});

t.test('a page of stats cannot be made to run scripts', async t => {
  const { stats, get } = await startFixture(t);
  stats.counter('a<script>alert(1)</script>').inc();
  const { body } = await get('/stats?format=html');
  t.notMatch(body, '<script>');
  t.match(body, '&#60;script&#62;');
});
