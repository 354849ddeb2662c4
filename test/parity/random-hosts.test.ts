/**
 * Random clusters, asked many times: Envoy and this proxy give every host its share, and a key the same host. Shares are compared
 * by a two-sample chi-square far beyond what chance brings.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { findEnvoy } from '../support/envoy-binary.ts';
import { getAdmin, ownCommand, startProxy } from '../support/proxy-process.ts';
import { fuzzPlan, Random } from '../support/random.ts';
import { makeLocalCluster, makeRandomCluster, ownZone, type RandomCluster } from './balancing-grammar.ts';
import { buildBootstrap, laneName } from './bootstrap.ts';
import { readListenerPorts } from './comparison.ts';

/** The same clusters in every run; $FUZZ_SEED gives others, $FUZZ_COUNT more. */
const fixedSeed = 20_261_122;
const seed = process.env.FUZZ_SEED === undefined ? fixedSeed : fuzzPlan(0).seed;
const { count: clusterCount } = fuzzPlan(80);
const requestsPerCluster = 400;
const lanesAtOnce = 8;
const countedStats = /lb_subsets_(active|created|removed|selected|fallback|fallback_panic|single_host_per_subset_duplicate): /;

/** Any address of the machine's loopback network is a host, which answers with its address. */
async function startHosts(): Promise<Server> {
  const server = createServer(socket => {
    socket.on('error', () => {});
    const body = `${socket.localAddress} `;
    const answer = `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
    socket.on('data', () => socket.write(answer));
  });
  await new Promise<void>(resolve => server.listen(0, '0.0.0.0', resolve));
  return server;
}

/** One request per key on one connection; the host that answered each, or the status where none did. */
function askForKeys(port: number): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const answers: string[] = [];
    let received = '';
    const socket = connect({ port, host: '127.0.0.1' });
    const send = () => socket.write(`GET / HTTP/1.1\r\nhost: a.test\r\nx-key: key-${answers.length}\r\n\r\n`);
    socket.on('connect', send);
    socket.on('error', reject);
    socket.on('data', chunk => {
      received += chunk.toString('latin1');
      const end = received.indexOf('\r\n\r\n');
      const length = Number(/content-length: (\d+)/.exec(received)?.[1]);
      if (end === -1 || received.length < end + 4 + length) return;
      const isOk = received.startsWith('HTTP/1.1 200');
      answers.push(isOk ? received.slice(end + 4).trim() : received.slice(9, 12));
      received = '';
      if (answers.length < requestsPerCluster) send();
      else {
        socket.destroy();
        resolve(answers);
      }
    });
  });
}

interface Seen {
  readonly answers: readonly string[];
  readonly stats: readonly string[];
}

async function askAll(
  name: string,
  command: { command: string; args?: string[] },
  cases: readonly RandomCluster[],
  folder: string,
): Promise<Seen[]> {
  const lanes = cases.map(({ cluster, routes }) => ({
    case: { name, cluster, routes },
    logPath: '/dev/null',
    upstreamPort: 1,
    secondUpstreamPort: 0,
  }));
  const bootstrap = buildBootstrap(lanes) as { static_resources: { clusters: object[] } };
  bootstrap.static_resources.clusters.push(makeLocalCluster());
  const node = { id: 'parity', cluster: 'parity', locality: { region: 'r', zone: ownZone } };
  const whole = { ...bootstrap, node, cluster_manager: { local_cluster_name: 'proxies' } };
  const proxy = await startProxy({ name, ...command, bootstrap: whole, folder });
  try {
    const ports = await readListenerPorts(proxy);
    const answers: string[][] = [];
    for (let from = 0; from < cases.length; from += lanesAtOnce) {
      const batch = cases.slice(from, from + lanesAtOnce);
      answers.push(...(await Promise.all(batch.map((_, i) => askForKeys(ports.get(laneName(from + i)) as number)))));
    }
    const lines = (await getAdmin(proxy.adminPort, '/stats')).split('\n').filter(line => countedStats.test(line));
    const prefix = (index: number) => `cluster.${laneName(index)}.`;
    return answers.map((own, index) => ({ answers: own, stats: lines.filter(line => line.startsWith(prefix(index))) }));
  } finally {
    await proxy.stop();
  }
}

/** Standard deviations beyond what two samples of the same shares differ by. */
function measureDifference(a: readonly string[], b: readonly string[]): number {
  const hosts = [...new Set([...a, ...b])];
  const count = (answers: readonly string[], host: string) => answers.filter(answer => answer === host).length;
  const chiSquare = hosts.reduce((sum, host) => {
    const [left, right] = [count(a, host), count(b, host)];
    return sum + (left - right) ** 2 / (left + right);
  }, 0);
  const freedom = hosts.length - 1;
  return (chiSquare - freedom) / Math.sqrt(2 * Math.max(1, freedom));
}

const envoy = findEnvoy();
const options = { skip: envoy === null && 'no Envoy binary (npm run mesh -- tools)', timeout: 300_000 };

t.test('random clusters', options, async t => {
  t.comment(`FUZZ_SEED=${seed} FUZZ_COUNT=${clusterCount}`);
  const folder = mkdtempSync(join(tmpdir(), 'random-hosts-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const hosts = await startHosts();
  t.teardown(() => hosts.close());
  const { port } = hosts.address() as AddressInfo;
  const cases = Array.from({ length: clusterCount }, (_, index) =>
    makeRandomCluster(new Random(seed + index), `127.${100 + (index >> 8)}.${index & 255}`, port),
  );
  const expected = await askAll('envoy', { command: envoy as string }, cases, folder);
  const actual = await askAll('own', ownCommand(), cases, folder);
  for (const [index, { description, isHashed }] of cases.entries()) {
    const name = `seed ${seed + index}: ${description}`;
    const [theirs, ours] = [expected[index], actual[index]];
    if (isHashed) t.same(ours.answers, theirs.answers, name, { theirs: tally(theirs.answers), ours: tally(ours.answers) });
    else
      t.ok(measureDifference(theirs.answers, ours.answers) < 12, name, {
        theirs: tally(theirs.answers),
        ours: tally(ours.answers),
      });
    t.same(ours.stats, theirs.stats, `statistics of ${name}`);
  }
});

function tally(answers: readonly string[]): { [host: string]: number } {
  const counts: { [host: string]: number } = {};
  for (const answer of answers) counts[answer] = (counts[answer] ?? 0) + 1;
  return counts;
}
