/**
 * Runs in a network namespace of its own, whose resolver is this script: names change their addresses, fail, vanish and come back,
 * while a proxy resolves its clusters. Prints what the proxy had made of each phase.
 *
 * Arguments: the port of the proxy's admin API, then the proxy's command.
 */
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as wait } from 'node:timers/promises';
import { getAdmin } from '../../support/proxy-process.ts';
import { clusterNames } from './clusters.ts';

interface Answer {
  readonly addresses?: readonly string[];
  /** In seconds. */
  readonly ttl?: number;
  readonly code?: number;
}

const serverFailure = 2;
const noSuchName = 3;
const phases: readonly (readonly [string, Answer])[] = [
  ['two addresses', { addresses: ['10.1.0.1', '10.1.0.2'] }],
  ['another one', { addresses: ['10.1.0.3'] }],
  ['the server fails', { code: serverFailure }],
  ['back', { addresses: ['10.1.0.4'] }],
  ['no such name', { code: noSuchName }],
  ['back again', { addresses: ['10.1.0.5'] }],
  ['no address', { addresses: [] }],
];
const deadlineMs = 10_000;

let answer: Answer = phases[0][1];
const asked = new Map<string, number>();

function readName(query: Buffer): { readonly name: string; readonly end: number } {
  const labels: string[] = [];
  let at = 12;
  for (; query[at] !== 0; at += query[at] + 1) labels.push(query.toString('latin1', at + 1, at + 1 + query[at]));
  return { name: labels.join('.'), end: at + 1 };
}

function respond(query: Buffer): Buffer {
  const { name, end } = readName(query);
  asked.set(name, (asked.get(name) ?? 0) + 1);
  const isA = query.readUInt16BE(end) === 1;
  const records = (isA ? (answer.addresses ?? []) : []).map(address => {
    const record = Buffer.from([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, answer.ttl ?? 1, 0, 4, ...address.split('.').map(Number)]);
    return record;
  });
  const head = Buffer.alloc(12);
  query.copy(head, 0, 0, 2);
  head.writeUInt16BE(0x8180 | (answer.code ?? 0), 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(records.length, 6);
  return Buffer.concat([head, query.subarray(12, end + 4), ...records]);
}

const server = createSocket('udp4');
server.on('message', (query, from) => server.send(respond(query), from.port, from.address));
server.bind(53, '127.0.0.1');
await once(server, 'listening');

const adminPort = Number(process.argv[2]);
const proxy = spawn(process.argv[3], process.argv.slice(4), { stdio: 'ignore' });
const admin = (path: string) => getAdmin(adminPort, path).catch(() => '');

async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = Date.now() + deadlineMs;
  while (!(await condition()) && Date.now() < deadline) await wait(20);
}

/** Hosts, and whether updates succeeded or failed in this phase. */
async function describe(before: string): Promise<{ readonly stats: string; readonly seen: object }> {
  const hosts = (await admin('/clusters')).split('\n').filter(line => line.includes('::health_flags::'));
  const stats = await admin('/stats?filter=update_(success%7Cfailure%7Cempty)');
  const read = (text: string, name: string) => Number(new RegExp(`^${name}: (\\d+)`, 'm').exec(text)?.[1] ?? 0);
  const moved = (name: string) => read(stats, name) > read(before, name);
  const seen = Object.fromEntries(
    clusterNames.map(name => [
      name,
      {
        hosts: hosts.filter(line => line.startsWith(`${name}::`)).map(line => line.split('::')[1]),
        moved: ['success', 'failure', 'empty'].filter(kind => moved(`cluster.${name}.update_${kind}`)),
      },
    ]),
  );
  return { stats, seen };
}

await until(async () => (await admin('/ready')).startsWith('LIVE'));
let stats = '';
const output: object[] = [];
for (const [phase, next] of phases) {
  answer = next;
  stats = phase === phases[0][0] ? '' : await admin('/stats?filter=update_(success%7Cfailure%7Cempty)');
  asked.clear();
  // The first answer of a phase may have been under way before; the second has had its effect when the third is asked for.
  await until(() => clusterNames.every(name => (asked.get(`${name}.test`) ?? 0) >= 3 * (next.code === undefined ? 1 : 4)));
  const { seen } = await describe(stats);
  output.push({ phase, ...seen });
}
proxy.kill('SIGTERM');
await once(proxy, 'exit');
process.stdout.write(JSON.stringify(output));
process.exit(0);
