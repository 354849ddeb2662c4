/** Random route tables, asked by random requests: Envoy and this proxy answer alike, byte by byte. */
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { findEnvoy } from '../support/envoy-binary.ts';
import { ownCommand, startProxy } from '../support/proxy-process.ts';
import { fuzzPlan, Random } from '../support/random.ts';
import { buildBootstrap, laneName } from './bootstrap.ts';
import { readListenerPorts } from './comparison.ts';
import { makeManagerSettings, makeRequest, makeRouteConfig } from './route-grammar.ts';

/** The same tables in every run; $FUZZ_SEED gives others, $FUZZ_COUNT more. */
const fixedSeed = 20_261_121;
const requestsPerTable = 60;
const seed = process.env.FUZZ_SEED === undefined ? fixedSeed : fuzzPlan(0).seed;
const { count: tableCount } = fuzzPlan(40);

const tables = Array.from({ length: tableCount }, (_, index) => {
  const random = new Random(seed + index);
  const manager = { ...makeManagerSettings(random), route_config: makeRouteConfig(random, `table-${index}`) };
  return { manager, requests: Array.from({ length: requestsPerTable }, () => makeRequest(random)) };
});

/** One request on a connection of its own; the answer without its date. */
function ask(port: number, request: string): Promise<string> {
  return new Promise(resolve => {
    let answer = '';
    const socket = connect({ port, host: '127.0.0.1' });
    const finish = (): void => {
      socket.destroy();
      resolve(answer.replace(/date: [^\r]*/, 'date: <date>'));
    };
    socket.on('data', data => {
      answer += data.toString('latin1');
      const end = answer.indexOf('\r\n\r\n');
      const hasBody = !request.startsWith('HEAD') && !answer.startsWith('HTTP/1.1 304');
      const length = !hasBody ? 0 : Number(/content-length: (\d+)/.exec(answer)?.[1] ?? 0);
      if (end !== -1 && answer.length >= end + 4 + length) finish();
    });
    socket.on('error', () => {});
    socket.on('close', finish);
    socket.write(request, 'latin1');
  });
}

async function askAll(name: string, command: { command: string; args?: string[] }, folder: string): Promise<string[][]> {
  const lanes = tables.map(({ manager }) => ({
    case: { name, send: '', manager },
    logPath: '/dev/null',
    upstreamPort: 1,
    secondUpstreamPort: 0,
  }));
  const proxy = await startProxy({ name, ...command, bootstrap: buildBootstrap(lanes), folder });
  try {
    const ports = await readListenerPorts(proxy);
    const answers: string[][] = [];
    for (const [index, { requests }] of tables.entries()) {
      const port = ports.get(laneName(index)) as number;
      answers.push(await Promise.all(requests.map(request => ask(port, request))));
    }
    return answers;
  } finally {
    await proxy.stop();
  }
}

const envoy = findEnvoy();
const options = { skip: envoy === null && 'no Envoy binary (npm run mesh -- tools)', timeout: 300_000 };

t.test('random routes', options, async t => {
  t.comment(`FUZZ_SEED=${seed} FUZZ_COUNT=${tableCount}`);
  const folder = mkdtempSync(join(tmpdir(), 'random-routes-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const expected = await askAll('envoy', { command: envoy as string }, folder);
  const actual = await askAll('own', ownCommand(), folder);
  for (const [index, { requests, manager }] of tables.entries()) {
    const different = requests.findIndex((_, at) => actual[index][at] !== expected[index][at]);
    if (different === -1) t.pass(`table of seed ${seed + index}`);
    else {
      t.comment(JSON.stringify(manager));
      t.strictSame(
        actual[index][different].split('\r\n'),
        expected[index][different].split('\r\n'),
        `seed ${seed + index}: ${JSON.stringify(requests[different])}`,
      );
    }
  }
  const found = expected.flat().filter(answer => answer.startsWith('HTTP/1.1 200')).length;
  t.ok(found > (tableCount * requestsPerTable) / 8, `${found} requests found a route`);
});
