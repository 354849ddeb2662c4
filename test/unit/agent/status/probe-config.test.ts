import t from 'tap';
import { parseAppProbes } from '../../../../agent/status/app-probe-config.ts';
import { parseScrapeTargets } from '../../../../agent/status/scrape-config.ts';

t.test('probes of three kinds are read', async t => {
  const probes = parseAppProbes(
    JSON.stringify({
      '/app-health/a/readyz': { httpGet: { path: 'x', port: 80, scheme: 'HTTPS' }, timeoutSeconds: 2 },
      '/app-health/a/livez': { tcpSocket: { port: 81 } },
      '/app-lifecycle/a/prestopz': { grpc: { port: 82, service: 's' } },
    }),
  );
  t.same(probes.get('/app-health/a/readyz'), { kind: 'http', path: '/x', port: 80, tls: true, timeoutMs: 2000 });
  t.same(probes.get('/app-health/a/livez'), { kind: 'tcp', port: 81, timeoutMs: 0 });
  t.same(probes.get('/app-lifecycle/a/prestopz'), { kind: 'grpc', port: 82, service: 's', timeoutMs: 0 });
  t.equal(parseAppProbes('').size, 0);
});

t.test('probes that could not work are refused at start', async t => {
  const tcp = { tcpSocket: { port: 1 } };
  t.throws(() => parseAppProbes('{'), /failed to decode app prober/);
  t.throws(() => parseAppProbes(JSON.stringify({ '/else': tcp })), /invalid path/);
  t.throws(() => parseAppProbes(JSON.stringify({ '/app-health/a/livez': {} })), /invalid prober type/);
  t.throws(() => parseAppProbes(JSON.stringify({ '/app-health/a/livez': { ...tcp, grpc: { port: 1 } } })), /invalid prober type/);
  t.throws(() => parseAppProbes(JSON.stringify({ '/app-health/a/livez': { tcpSocket: { port: 'http' } } })), /must be int/);
});

t.test('scrape targets have defaults, and never point back at the sidecar', async t => {
  const parse = (value: object): unknown => parseScrapeTargets(JSON.stringify(value), 15020);
  t.same(parseScrapeTargets(null, 15020), []);
  t.same(parse({ scrape: 'false' }), []);
  t.same(parse({ scrape: 'true' }), [{ port: '80', path: '/metrics' }]);
  t.same(parse({ targets: [{ port: '1' }, { port: '2', path: '/x' }] }), [
    { port: '1', path: '/metrics' },
    { port: '2', path: '/x' },
  ]);
  t.throws(() => parse({ port: '15020' }), /recursive loop/);
  t.throws(() => parse({ port: '015020' }), /recursive loop/);
  t.throws(() => parse({ port: '15090' }), /reserved for Istio/);
  t.throws(() => parse({ port: 'x' }), /invalid target port/);
});
