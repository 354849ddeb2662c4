/**
 * `node bench/agent.ts [ROOT]`: how long the agent's probes and names take while it merges three pages of 10 MiB, compressed, and relays
 * pushes of a thousand services. ROOT is a checkout that is built; this one's sources unless given.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { encodeMessage } from '../protos/messages.ts';
import { meshAuthority, startAgent } from '../test/integration/agent/agent-process.ts';
import { Istiod } from '../test/integration/agent/istiod.ts';
import { findFreePort } from '../test/support/proxy-process.ts';

const targetCount = 3;
const pageBytes = 10 << 20;
const serviceCount = 1000;
const loadMs = 15_000;
const pushPauseMs = 500;
const clusterType = 'type.googleapis.com/envoy.config.cluster.v3.Cluster';
const tableType = 'type.googleapis.com/istio.networking.nds.v1.NameTable';

const cleanups: (() => unknown)[] = [];
const scope = { teardown: (cleanup: () => unknown) => void cleanups.push(cleanup) };

function makePage(): Buffer {
  const lines: string[] = [];
  for (let length = 0, i = 0; length < pageBytes; i++) {
    const line = `http_requests_total{method="GET",handler="/api/${i % 977}",instance="${i}"} ${(i * 7919) % 100_003}\n`;
    lines.push(line);
    length += line.length;
  }
  return Buffer.from(lines.join('').slice(0, pageBytes));
}

/** An application with metrics. */
async function startApplication(): Promise<number> {
  const page = makePage();
  const server = createServer((_request, response) => response.end(page));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Everything of one type in one response, as after a connection. */
function makePush(): { readonly clusters: Buffer; readonly table: Buffer } {
  const names = Array.from({ length: serviceCount }, (_, i) => `service-${i}.n.svc.cluster.local`);
  const clusters = names.map(name => ({ name: `outbound|80||${name}`, alt_stat_name: 'x'.repeat(2500) }));
  const bytes = Buffer.concat(clusters.map(cluster => encodeMessage('envoy.config.cluster.v3.Cluster', cluster)));
  const table = Object.fromEntries(
    names.map((name, i) => {
      const info = { ips: [`10.1.${i >> 8}.${i & 255}`], registry: 'Kubernetes', shortname: `service-${i}`, namespace: 'n' };
      return [name, info];
    }),
  );
  return { clusters: bytes, table: encodeMessage('istio.networking.nds.v1.NameTable', { table } as never) };
}

/** In the place of the proxy: asks for the clusters anew until told to end. */
async function receivePushes(socketPath: string, until: AbortSignal): Promise<number> {
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.max_receive_message_length': -1,
  });
  const passBytes = (message: Buffer): Buffer => message;
  const path = '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources';
  let received = 0;
  while (!until.aborted) {
    const stream = client.makeBidiStreamRequest(path, passBytes, passBytes, new Metadata());
    stream.on('error', () => {});
    stream.on('data', (message: Buffer) => {
      received += message.length;
    });
    for (const type_url of ['type.googleapis.com/envoy.config.listener.v3.Listener', clusterType]) {
      stream.write(encodeMessage('envoy.service.discovery.v3.DeltaDiscoveryRequest', { node: { id: 'sidecar' }, type_url }));
    }
    await sleep(pushPauseMs);
    stream.cancel();
  }
  client.close();
  return received;
}

/** Compressed scrapes one after the other; how many. */
async function scrape(port: number, until: AbortSignal): Promise<number> {
  let count = 0;
  while (!until.aborted) {
    const request = get({ port, path: '/stats/prometheus', headers: { 'accept-encoding': 'gzip' }, agent: false });
    const [response] = await once(request, 'response');
    response.resume();
    await once(response, 'end');
    count++;
  }
  return count;
}

const applications = await Promise.all(Array.from({ length: targetCount }, startApplication));
const istiodPort = await findFreePort();
const istiod = new Istiod({ authority: meshAuthority, port: istiodPort });
const push = makePush();
istiod.resources.set(clusterType, push.clusters).set(tableType, push.table);
await istiod.listen();
const dnsPort = await findFreePort();
const client = fork(join(import.meta.dirname, 'agent-latency.ts'));
const [probedPort] = await once(client, 'message');
const agent = await startAgent(scope, {
  ...(process.argv[2] ? { command: [resolve(process.argv[2], 'bin/pilot-agent')] as const } : {}),
  config: { discoveryAddress: `127.0.0.1:${istiodPort}` },
  variables: {
    DISABLE_ENVOY: 'true',
    ISTIO_META_DNS_CAPTURE: 'true',
    DNS_PROXY_ADDR: `127.0.0.1:${dnsPort}`,
    POD_NAMESPACE: 'n',
    ISTIOD_SAN: 'istiod.istio-system.svc',
    ISTIO_KUBE_APP_PROBERS: JSON.stringify({
      '/app-health/app/livez': { httpGet: { path: '/', port: probedPort }, timeoutSeconds: 1 },
    }),
    ISTIO_PROMETHEUS_ANNOTATIONS: JSON.stringify({ scrape: 'true', targets: applications.map(port => ({ port: String(port) })) }),
  },
});
try {
  await agent.serving();
  const measure = async (name: string, ms: number): Promise<void> => {
    client.send({ statusPort: agent.statusPort, dnsPort, ms });
    const [lines] = (await once(client, 'message')) as [string[]];
    for (const line of lines) console.log(`${name.padEnd(12)} ${line}`);
  };
  const idle = new AbortController();
  const warm = receivePushes(join(agent.folder, 'etc/istio/proxy/XDS'), idle.signal);
  await sleep(2 * pushPauseMs);
  idle.abort();
  await warm;
  await measure('idle', loadMs / 3);
  const end = new AbortController();
  const pushes = receivePushes(join(agent.folder, 'etc/istio/proxy/XDS'), end.signal);
  const scrapes = scrape(agent.statusPort, end.signal);
  await measure('under load', loadMs);
  end.abort();
  console.log(
    `${await scrapes} scrapes of ${(targetCount * pageBytes) >> 20} MiB, ${((await pushes) / 2 ** 20).toFixed(0)} MiB of pushes`,
  );
} finally {
  client.kill();
  for (const cleanup of cleanups) await cleanup();
}
process.exit();
