/**
 * In the mesh: a pair of sidecars, the client's and the server's, between two real pods, at a fixed rate; what their containers take,
 * by control groups. The mesh must be up (`npm run mesh -- up`), and holds the images under test.
 */
import { tryRun } from '../test/mesh/cluster/command.ts';
import { injectionLabel } from '../test/mesh/cluster/istio.ts';
import { apply } from '../test/mesh/cluster/kubectl.ts';
import { type Consumption, sidecarConsumption } from '../test/mesh/fixtures/cgroups.ts';
import { startLoad } from '../test/mesh/fixtures/load.ts';
import { deploy, requireMode } from '../test/mesh/fixtures/mesh.ts';
import { type App, service } from '../test/mesh/fixtures/pods.ts';
import { waitForCluster } from '../test/mesh/fixtures/proxies.ts';
import type { Options } from './measurement.ts';
import { type Sample, summarize } from './report.ts';

const namespace = 'bench-mesh';
const ratesPerSecond = [200, 1000];
/** At the highest rate: until V8 has compiled what it will, on every worker. */
const warmUpSeconds = 30;
const connections = 16;

interface Pair {
  readonly name: 'envoy' | 'own';
  readonly client: App;
  readonly server: App;
}

function makePair(name: Pair['name'], sidecar: App['sidecar']): Pair {
  return { name, client: { name: `client-${name}`, sidecar }, server: { name: `server-${name}`, sidecar } };
}

/** The second pair runs this project's image. */
const pairs: readonly Pair[] = [makePair('envoy', 'envoy'), makePair('own', 'sidecar')];

function load({ client, server }: Pair, rate: number, seconds: number) {
  return startLoad(namespace, client.name, { url: `http://${server.name}:81/`, rate, connections, seconds, uniform: true });
}

function consumption({ client, server }: Pair): readonly Consumption[] {
  return [client, server].map(({ name }) => sidecarConsumption(namespace, name));
}

async function measurePair(pair: Pair, rate: number, seconds: number): Promise<Sample> {
  const before = consumption(pair);
  const { total, failed, p50Ms, p90Ms, p99Ms } = await load(pair, rate, seconds);
  if (failed > 0 || total === 0) throw new Error(`bench: ${failed} of ${total} requests failed from ${pair.client.name}`);
  const after = consumption(pair);
  const cpuMs = after.reduce((sum, { cpuMs }, i) => sum + cpuMs - before[i].cpuMs, 0);
  return {
    proxy: pair.name,
    rate,
    cost: (cpuMs * 1000) / total,
    requestsPerSecond: total / seconds,
    p50Ms,
    p90Ms,
    p99Ms,
    residentMiB: after.reduce((sum, { memoryMb }) => sum + memoryMb, 0),
  };
}

function renderPairs(rate: number, samples: readonly Sample[]): string {
  const lines = [`${rate}/s        CPU us/req of both   p50 ms   p90 ms   p99 ms   working set of both, MiB   efficiency`];
  for (const { proxy, median: m, efficiency: e } of summarize(samples)) {
    const latencies = [m.p50Ms, m.p90Ms, m.p99Ms].map(value => value.toFixed(2).padStart(8)).join(' ');
    const spread = `${e.median.toFixed(2)} (${e.low.toFixed(2)}-${e.high.toFixed(2)})`;
    lines.push(
      `  ${proxy.padEnd(8)} ${m.cost.toFixed(0).padStart(18)} ${latencies} ${m.residentMiB.toFixed(0).padStart(26)}   ${spread}`,
    );
  }
  return lines.join('\n');
}

/** @throws without a mesh, or if a request fails. */
export async function compareInMesh({ rounds, seconds }: Omit<Options, 'connections' | 'folder'>): Promise<Sample[]> {
  console.log(`two sidecars between real pods, istiod in mode ${requireMode()}`);
  const samples: Sample[] = [];
  apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels: injectionLabel } }]);
  try {
    const apps = pairs.flatMap(({ client, server }) => [client, server]);
    deploy(
      namespace,
      apps,
      pairs.map(({ server }) => service(namespace, server.name)),
    );
    for (const pair of pairs) {
      await waitForCluster(namespace, pair.client.name, `outbound|81||${pair.server.name}.${namespace}.svc.cluster.local`);
      await load(pair, Math.max(...ratesPerSecond), warmUpSeconds);
    }
    for (const rate of ratesPerSecond) {
      const ofRate: Sample[] = [];
      for (let round = 0; round < rounds; round++) {
        for (const pair of pairs) ofRate.push(await measurePair(pair, rate, seconds));
      }
      console.log(renderPairs(rate, ofRate));
      samples.push(...ofRate);
    }
  } finally {
    tryRun('kubectl', ['delete', 'namespace', namespace, '--wait=false']);
  }
  return samples;
}
