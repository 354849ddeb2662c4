/** Pools over scripted connections and codecs. */
import type { Test } from 'tap';
import type { ClusterModel } from '../../../../../proxy/config/model/cluster.ts';
import type { ResponseDecoder } from '../../../../../proxy/http/codec.ts';
import { HeaderMap } from '../../../../../proxy/http/header-map.ts';
import type { PoolCallbacks, StreamOptions } from '../../../../../proxy/upstream/cluster-manager.ts';
import { WorkerCluster } from '../../../../../proxy/upstream/worker-cluster.ts';
import { makeCluster, makeContext, makeHost, makeUpstream, plainOptions } from '../upstream-fixture.ts';

export const ignoring: ResponseDecoder = {
  onResponse1xxHeaders() {},
  onResponseHeaders() {},
  onResponseData() {},
  onResponseTrailers() {},
  onReset() {},
  onAboveWriteBufferHighWatermark() {},
  onBelowWriteBufferLowWatermark() {},
};

/** A cluster of one host; `open` begins a stream and notes in `events` what becomes of it. */
export function setUpPool(t: Test, parts: Partial<ClusterModel> = {}) {
  const upstream = makeUpstream();
  t.teardown(() => upstream.closeAll());
  const cluster = new WorkerCluster(makeCluster(parts), 0, upstream.services);
  const locality = { region: '', zone: '', subZone: '', priority: 0, weight: 0 };
  cluster.setHosts({
    cluster: 'app',
    overprovisioningFactor: 140,
    localities: [{ ...locality, hosts: [{ ...makeHost('10.0.0.1'), slot: 0 }] }],
  });
  const host = cluster.chooseHost(makeContext());
  if (host === null) throw new Error('no host');
  const events: string[] = [];
  const open = (name: string, options: StreamOptions = plainOptions) => {
    const callbacks: PoolCallbacks = {
      onPoolReady: (encoder, _connection, _protocol, reused) => {
        events.push(`${name} ready${reused ? ' reused' : ''}`);
        encoder.encodeHeaders(new HeaderMap(), true);
      },
      onPoolFailure: (reason, transport) => events.push(`${name} ${reason} ${transport}`.trim()),
    };
    return host.newStream(options, ignoring, callbacks);
  };
  return { ...upstream, cluster, host, events, open };
}
