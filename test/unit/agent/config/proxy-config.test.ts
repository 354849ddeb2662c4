import t from 'tap';
import { buildProxyConfig, type ProxyConfigSources } from '../../../../agent/config/proxy-config.ts';

const none: ProxyConfigSources = {
  meshFile: '',
  environment: '',
  annotations: {},
  serviceCluster: 'istio-proxy',
  concurrency: 0,
  cpuLimit: 0,
};
const withEnvironment = (environment: string): ProxyConfigSources => ({ ...none, environment });

t.test('defaults are those of a standard installation', async t => {
  t.match(buildProxyConfig(none), { discoveryAddress: 'istiod.istio-system.svc:15012', statusPort: 15020, drainDuration: '45s' });
});

t.test('later sources win, and proxyMetadata merges by key', async t => {
  const config = buildProxyConfig({
    ...none,
    meshFile: 'defaultConfig:\n  concurrency: 1\n  proxyMetadata: {A: mesh, B: mesh}\n',
    environment: '{"concurrency":2,"proxyMetadata":{"B":"env","C":"env"}}',
    annotations: {
      'proxy.istio.io/config': 'concurrency: 3\nproxyMetadata: {C: pod}\n',
      'status.sidecar.istio.io/port': '16020',
    },
  });
  t.equal(config.concurrency, 3);
  t.same(config.proxyMetadata, { A: 'mesh', B: 'env', C: 'pod' });
  t.equal(config.statusPort, 16020);
});

t.test('the CPU limit counts only where no concurrency is given', async t => {
  t.equal(buildProxyConfig({ ...none, cpuLimit: 2 }).concurrency, 2);
  t.equal(buildProxyConfig({ ...withEnvironment('{"concurrency":0}'), cpuLimit: 2 }).concurrency, 0);
  t.equal(buildProxyConfig({ ...withEnvironment('{"concurrency":5}'), concurrency: 4 }).concurrency, 4);
});

t.test('reads names and enums in any form that ProtoJSON allows', async t => {
  const config = buildProxyConfig(withEnvironment('drain_duration: 10s\ninterceptionMode: 1\ntracing: {sampling: "50"}\n'));
  t.match(config, { drainDuration: '10s', interceptionMode: 'TPROXY', tracing: { sampling: 50 } });
});

t.test('one name of the cluster replaces the other', async t => {
  const config = buildProxyConfig(withEnvironment('{"tracingServiceName":"CANONICAL_NAME_ONLY"}'));
  t.equal(config.serviceCluster, undefined);
});

t.test('an unknown field is ignored, a value that does not fit is refused with its path', async t => {
  t.doesNotThrow(() => buildProxyConfig(withEnvironment('{"nope":1}')));
  for (const [text, message] of [
    ['{"concurrency":"x"}', /concurrency/],
    ['{"tracing":{"sampling":{}}}', /tracing\.sampling/],
    ['{"drainDuration":"10"}', /drainDuration: bad Duration "10"/],
    ['[]', /expected an object/],
    ['{"a', /failed to unmarshal mesh config from environment/],
  ] as const) {
    t.throws(() => buildProxyConfig(withEnvironment(text)), message, text);
  }
});

t.test('refuses what cannot work, naming every violation', async t => {
  const text = '{"discoveryAddress":"istiod","proxyAdminPort":70000,"drainDuration":"1.5s","statusPort":0}';
  t.throws(() => buildProxyConfig(withEnvironment(text)), /4 errors occurred[\s\S]*missing port[\s\S]*status port/);
  t.throws(() => buildProxyConfig(withEnvironment('{"discoveryAddress":"-x:15012"}')), /not a valid hostname/);
});
