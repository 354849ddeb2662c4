import t from 'tap';
import { TimerWheel } from '../../../../../../common/timer-wheel.ts';
import { createIstioStatsTcpFilter } from '../../../../../../proxy/extensions/filters/network/istio-stats/filter.ts';
import type { NetworkFactoryContext, NetworkFilterCallbacks } from '../../../../../../proxy/network/filter.ts';
import { makeStats, makeStreamInfo } from '../../../telemetry/fixture.ts';

const model = { reporter: 'by-direction', disableHostHeaderFallback: true, metrics: [], definitions: [] } as const;

function setUp(tcpReportingDurationMs: number) {
  const { store, merger } = makeStats();
  const context = {
    stats: store,
    node: { id: 'n', cluster: 'c', locality: {}, metadata: {} },
    trafficDirection: 'inbound',
    services: { timers: new TimerWheel() },
    listener: null,
  } as unknown as NetworkFactoryContext;
  const info = makeStreamInfo();
  const filter = createIstioStatsTcpFilter(
    { ...model, tcpReportingDurationMs },
    context,
  )({
    streamInfo: info,
  } as NetworkFilterCallbacks);
  const value = (name: string) =>
    merger.snapshot().find(metric => metric.tagExtractedName === `istiocustom.istio_tcp_${name}_total`)?.value;
  return { filter, info, value };
}

t.test('a connection whose peer never told is reported when it ends', async t => {
  const { filter, info, value } = setUp(0);
  filter.onNewConnection!();
  info.bytesReceived = 10;
  info.bytesSent = 20;
  t.equal(value('connections_opened'), undefined);
  filter.onClose!('remote-close');
  t.equal(value('connections_opened'), 1);
  t.equal(value('connections_closed'), 1);
  t.equal(value('received_bytes'), 10);
  t.equal(value('sent_bytes'), 20);
});

t.test('a live connection is reported by timer once its peer is known, and nothing is counted twice', async t => {
  const { filter, info, value } = setUp(10);
  filter.onNewConnection!();
  info.bytesReceived = 5;
  info.setFilterState('peer_not_found', true);
  while (value('connections_opened') === undefined) await new Promise(resolve => setTimeout(resolve, 1));
  t.equal(value('received_bytes'), 5);
  info.bytesReceived = 7;
  while (value('received_bytes') !== 7) await new Promise(resolve => setTimeout(resolve, 1));
  t.equal(value('connections_closed'), 0);
  filter.onClose!('local-close');
  t.equal(value('received_bytes'), 7);
  t.equal(value('connections_opened'), 1);
  t.equal(value('connections_closed'), 1);
});
