import t from 'tap';
import { decodeMessage, encodeMessage } from '../../../../protos/messages.ts';
import { jsonToStructFields, structToJson } from '../../../../protos/struct.ts';
import {
  decodeEndpointWorkload,
  decodeInitialMessage,
  decodeMetadataHeader,
  encodeInitialMessage,
  encodeMetadataHeader,
  readInitialHeader,
  toCelPeer,
} from '../../../../proxy/telemetry/peer-metadata.ts';
import { decodeStruct, encodeStruct } from '../../../../proxy/telemetry/struct-codec.ts';

const node = {
  id: 'sidecar~10.0.0.1~v1.ns~ns.svc.cluster.local',
  cluster: 'c',
  locality: { region: '', zone: '', subZone: '' },
  metadata: {
    NAME: 'v1-abc',
    NAMESPACE: 'ns',
    WORKLOAD_NAME: 'v1',
    CLUSTER_ID: 'Kubernetes',
    OWNER: 'kubernetes://apis/apps/v1/namespaces/ns/deployments/v1',
    LABELS: {
      app: 'echo',
      version: 'v1',
      'service.istio.io/canonical-name': 'echo',
      'service.istio.io/canonical-revision': 'v1',
      role: 'x',
      other: 'y',
    },
    ISTIO_VERSION: '1.31.0',
  },
};

t.test('the metadata header is a deterministic Struct of the fields that peers read', async t => {
  const header = encodeMetadataHeader(node, ['role']);
  const struct = decodeStruct(Buffer.from(header, 'base64'));
  t.same(JSON.parse(JSON.stringify(struct)), {
    NAME: 'v1-abc',
    NAMESPACE: 'ns',
    WORKLOAD_NAME: 'v1',
    CLUSTER_ID: 'Kubernetes',
    OWNER: 'kubernetes://apis/apps/v1/namespaces/ns/deployments/v1',
    LABELS: {
      app: 'echo',
      role: 'x',
      version: 'v1',
      'service.istio.io/canonical-name': 'echo',
      'service.istio.io/canonical-revision': 'v1',
    },
  });
  t.equal(header, encodeMetadataHeader(node, ['role']));
  t.match(Object.keys(struct), [...Object.keys(struct)].sort(), 'keys are in order');
});

t.test('the codec agrees with protobufjs in both directions', async t => {
  const json = { s: 'é', n: 1.5, b: true, f: false, z: null, l: ['a', 2, { k: 'v' }], o: { nested: { deep: 'x' } }, empty: {} };
  // A node carries a Struct.
  const theirs = encodeMessage('envoy.service.discovery.v3.DiscoveryRequest', {
    node: { metadata: { fields: jsonToStructFields(json) } },
  } as never);
  const decoded = decodeMessage('envoy.service.discovery.v3.DiscoveryRequest', theirs);
  t.same(structToJson(decoded.node!.metadata as never), json);
  const own = encodeStruct(json);
  t.same(JSON.parse(JSON.stringify(decodeStruct(own))), json);
  // Wrapped as DiscoveryRequest.node(2).metadata(3).
  const field = (id: number, content: Buffer) => Buffer.concat([Buffer.from([(id << 3) | 2]), length(content.length), content]);
  const wrapped = field(2, field(3, own));
  t.same(structToJson(decodeMessage('envoy.service.discovery.v3.DiscoveryRequest', wrapped).node!.metadata as never), json);
});

t.test('a peer is read from its header, with or without base64 padding', async t => {
  const header = encodeMetadataHeader(node, []);
  const peer = decodeMetadataHeader(header.replace(/=+$/, ''), []);
  t.match(peer, { workload: 'v1', namespace: 'ns', canonicalName: 'echo', app: 'echo', type: 'deployment', labels: {} });
  t.same(toCelPeer(peer!), {
    type: 'deployment',
    workload: 'v1',
    name: 'v1-abc',
    cluster: 'Kubernetes',
    namespace: 'ns',
    service: 'echo',
    revision: 'v1',
    app: 'echo',
    version: 'v1',
  });
  t.equal(decodeMetadataHeader('AAAA', []), null);
});

t.test('the recommended labels win over the short ones', async t => {
  const labels = { app: 'a', version: '1', 'app.kubernetes.io/name': 'b', 'app.kubernetes.io/version': '2' };
  const peer = decodeMetadataHeader(encodeStruct({ LABELS: labels }).toString('base64'), []);
  t.match(peer, { app: 'b', version: '2' });
});

t.test('hostile bytes are refused, never thrown over', async t => {
  const deep = Array.from({ length: 200 }).reduce<Buffer>(inner => {
    const value = Buffer.concat([Buffer.from([0x2a]), length(inner.length), inner]);
    const entry = Buffer.concat([Buffer.from([0x12]), length(value.length), value]);
    return Buffer.concat([Buffer.from([0x0a]), length(entry.length), entry]);
  }, Buffer.alloc(0));
  for (const bytes of [Buffer.from([0x0a, 0xff]), Buffer.from([0x0a]), Buffer.alloc(20, 0xff), Buffer.from([0]), deep]) {
    t.equal(decodeMetadataHeader(bytes.toString('base64'), []), null);
  }
});

function length(value: number): Buffer {
  return value < 128 ? Buffer.from([value]) : Buffer.from([(value & 127) | 128, value >> 7]);
}

t.test('the TCP message is magic, length and an Any', async t => {
  const message = encodeInitialMessage(node, []);
  t.equal(message.readUInt32BE(0), 0x3d230467);
  t.equal(message.readUInt32BE(4), message.length - 8);
  t.equal(readInitialHeader(message), message.length - 8);
  const struct = decodeInitialMessage(message.subarray(8));
  t.equal(struct?.['x-envoy-peer-metadata-id'], node.id);
  t.match(struct?.['x-envoy-peer-metadata'], { WORKLOAD_NAME: 'v1' });
  t.equal(readInitialHeader(Buffer.from('GET / HT')), null);
  t.equal(readInitialHeader(Buffer.from('3d23046700200000', 'hex')), null, 'two megabytes of metadata are none');
});

t.test('the workload of an endpoint', async t => {
  t.match(decodeEndpointWorkload('w;n;c;r;k'), {
    workload: 'w',
    namespace: 'n',
    canonicalName: 'c',
    canonicalRevision: 'r',
    cluster: 'k',
  });
  t.equal(decodeEndpointWorkload('w;n'), null);
});
