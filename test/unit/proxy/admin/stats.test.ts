import t from 'tap';
import { startFixture } from './fixture.ts';

t.test('/stats as text: sorted numbers, then histograms', async t => {
  const { stats, get } = await startFixture(t);
  stats.counter('cluster_manager.cluster_added').inc();
  stats.counter('cluster.up.upstream_rq_total').add(3);
  stats.counter('cluster.up.unused');
  stats.gauge('server.state').set(0);
  stats.histogram('cluster.up.upstream_rq_time').record(9.05);
  stats.histogram('cluster.up.upstream_cx_length_ms');
  stats.textReadout('control_plane.identifier').set('istiod');
  t.equal(
    (await get('/stats')).body,
    `control_plane.identifier: "istiod"
cluster.up.unused: 0
cluster.up.upstream_rq_total: 3
cluster_manager.cluster_added: 1
server.state: 0
cluster.up.upstream_cx_length_ms: No recorded values
cluster.up.upstream_rq_time: P0(nan,9.05) P25(nan,9.05) P50(nan,9.05) P75(nan,9.05) P90(nan,9.05) P95(nan,9.05) P99(nan,9.05) P99.5(nan,9.05) P99.9(nan,9.05) P100(nan,9.05)
`,
  );
  t.equal(
    (await get('/stats?usedonly&filter=^cluster\\.up\\..*rq_total|state')).body,
    'cluster.up.upstream_rq_total: 3\nserver.state: 0\n',
  );
  t.equal((await get('/stats?type=Gauges')).body, 'server.state: 0\n');
  t.equal((await get('/stats?format=json&filter=server')).body, '{"stats":[{"name":"server.state","value":0}]}');
  t.equal((await get('/stats?format=json&filter=nothing')).body, '{"stats":[]}');
  t.match(
    (await get('/stats?histogram_buckets=cumulative&filter=rq_time')).body,
    /: B0\.5\(0,0\) B1\(0,0\) B5\(0,0\) B10\(0,1\) .* B1\.8e\+06\(0,1\) B3\.6e\+06\(0,1\)\n$/,
  );
});

t.test('wrong parameters get the answers of Envoy', async t => {
  const { get } = await startFixture(t);
  t.match(await get('/stats?type=Foo'), { status: 400, body: 'invalid &type= param' });
  t.match(await get('/stats?format=foo'), {
    status: 400,
    body: 'usage: /stats?format=(html|active-html|json|prometheus|text)\n\n',
  });
  t.match(await get('/stats?filter=('), { status: 400, body: 'Invalid re2 regex: missing ): (' });
  t.same(
    await get('/stats?histogram_buckets=none&filter=rq_time'),
    await get('/stats?filter=rq_time'),
    'the former name of the summary',
  );
  t.match(await get('/stats?histogram_buckets=foo'), {
    status: 400,
    body: 'usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|summary|prometheusnative)\n',
  });
});

t.test('Prometheus text has its own options', async t => {
  const { stats, get } = await startFixture(t);
  stats.histogram('cluster.up.h').record(3);
  stats.textReadout('control_plane.identifier').set('a"b');
  t.equal((await get('/stats/prometheus?filter=identifier')).body, '');
  t.equal(
    (await get('/stats/prometheus?filter=identifier&text_readouts')).body,
    '# TYPE envoy_control_plane_identifier gauge\nenvoy_control_plane_identifier{text_value="a\\"b"} 1\n',
  );
  t.match(
    (await get('/stats?format=prometheus&histogram_buckets=summary')).body,
    /^# TYPE envoy_cluster_h summary\nenvoy_cluster_h\{envoy_cluster_name="up",quantile="0"\} nan\n/,
  );
});
