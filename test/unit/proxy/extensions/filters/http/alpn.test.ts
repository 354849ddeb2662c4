import t from 'tap';
import { createAlpnFilter } from '../../../../../../proxy/extensions/filters/http/alpn/alpn-filter.ts';
import { buildRouteTable } from '../../../../../../proxy/router/route-table.ts';
import type { Protocol } from '../../../../../../proxy/telemetry/stream-info.ts';
import { applicationProtocolsKey } from '../../../../../../proxy/upstream/stream-options.ts';
import {
  forwardTo,
  makeMatch,
  makeRequest,
  makeRoute,
  makeRouteConfig,
  makeStreamInfo,
  makeVirtualHost,
  prefix,
} from '../../../router/route-models.ts';

const overrides = { 'HTTP/1.0': ['istio-http/1.0'], 'HTTP/1.1': ['istio-http/1.1'], 'HTTP/2': ['istio-h2'] };
const routes = makeRouteConfig([makeVirtualHost('all', ['*'], [makeRoute(makeMatch(prefix('/')), forwardTo('app'))])]);
const table = buildRouteTable(routes);

function offered(kind: string, downstream: Protocol, istio: object = {}): unknown {
  const cluster = { model: { protocol: { kind }, metadata: { istio } } };
  const create = createAlpnFilter({ overrides }, { services: { clusters: { find: () => cluster } } } as never);
  const streamInfo = makeStreamInfo();
  streamInfo.protocol = downstream;
  const headers = makeRequest('GET', 'a.test', '/');
  const filter = create({ streamInfo, route: table.match(headers, streamInfo) } as never);
  filter?.onRequestHeaders?.(headers, true);
  return streamInfo.getFilterState(applicationProtocolsKey);
}

t.test('what is offered is of the version that goes upstream', async t => {
  t.same(offered('http1', 'HTTP/2'), ['istio-http/1.1']);
  t.same(offered('http2', 'HTTP/1.1'), ['istio-h2']);
  t.same(offered('auto', 'HTTP/1.1'), ['istio-h2']);
  for (const version of ['HTTP/1.0', 'HTTP/1.1', 'HTTP/2'] as const) t.same(offered('downstream', version), overrides[version]);
});

t.test('a cluster may forbid it', async t => {
  t.equal(offered('http2', 'HTTP/2', { alpn_override: 'false' }), undefined);
});
