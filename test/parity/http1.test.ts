/** The same bytes through Envoy and this proxy, on the same bootstrap: both ends must see the same. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import t from 'tap';
import { findEnvoy } from '../support/envoy-binary.ts';
import { findFreePort, ownCommand, type ProxyProcess, startProxy } from '../support/proxy-process.ts';
import { buildBootstrap, type Lane } from './bootstrap.ts';
import { cases } from './cases/index.ts';
import { normalize, readLog, runLane, startUpstream, type Upstream } from './exchange.ts';
import type { Outcome, ParityCase } from './parity-case.ts';

const lanesAtOnce = 24;

async function buildLanes(selected: readonly ParityCase[], folder: string, name: string): Promise<Lane[]> {
  const lanes: Lane[] = [];
  for (const [index, parityCase] of selected.entries()) {
    const [listenerPort, upstreamPort] = [await findFreePort(), await findFreePort()];
    lanes.push({ listenerPort, upstreamPort, logPath: join(folder, `${name}-${index}.log`), case: parityCase });
  }
  return lanes;
}

/** Runs every case on one proxy, some at a time, and returns the outcomes in order. */
async function runAll(lanes: readonly Lane[]): Promise<Outcome[]> {
  const outcomes: Omit<Outcome, 'log'>[] = [];
  for (let from = 0; from < lanes.length; from += lanesAtOnce) {
    const batch = lanes.slice(from, from + lanesAtOnce);
    const upstreams = await Promise.all(batch.map(lane => startUpstream(lane.case.upstream, lane.upstreamPort)));
    outcomes.push(...(await Promise.all(batch.map((lane, index) => runLane(lane, upstreams[index])))));
    for (const upstream of upstreams) closeUpstream(upstream);
  }
  await wait(200); // both proxies flush their access logs every 20 ms
  return outcomes.map((outcome, index) => normalize({ ...outcome, log: readLog(lanes[index]) }));
}

function closeUpstream({ server }: Upstream): void {
  server?.close();
}

const envoy = findEnvoy();
t.test(
  'HTTP/1 parity with Envoy',
  { skip: envoy === null && 'no Envoy binary (npm run mesh -- tools)', timeout: 300_000 },
  async t => {
    const folder = mkdtempSync(join(tmpdir(), 'parity-'));
    const filter = process.env.PARITY_CASE ?? '';
    const selected = cases.filter(({ name }) => name.includes(filter));
    const proxies: ProxyProcess[] = [];
    t.teardown(async () => {
      await Promise.all(proxies.map(proxy => proxy.stop()));
      rmSync(folder, { recursive: true, force: true });
    });
    const lanes = { envoy: await buildLanes(selected, folder, 'envoy'), own: await buildLanes(selected, folder, 'own') };
    proxies.push(await startProxy({ name: 'envoy', command: envoy as string, bootstrap: buildBootstrap(lanes.envoy), folder }));
    proxies.push(await startProxy({ name: 'own', ...ownCommand(), bootstrap: buildBootstrap(lanes.own), folder }));
    const expected = await runAll(lanes.envoy);
    const actual = await runAll(lanes.own);
    for (const [index, { name, differs }] of selected.entries()) {
      if (differs === undefined) t.same(actual[index], expected[index], name);
      else t.notSame(actual[index], expected[index], `${name} (differs on purpose: ${differs})`);
    }
    t.equal(proxies[1].child.exitCode, null, 'the proxy survived');
  },
);
