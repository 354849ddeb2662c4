/**
 * A process of the DNS comparison, in its namespace: the real pilot-agent and this project's DNS server over the same tables and the
 * same nameserver are asked the same queries. Prints a line of JSON for each table and each query.
 */
import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { encodeName, recordTypes, responseCodes, writeAnswer } from '../../../agent/dns/dns-message.ts';
import { readQuery } from '../../../agent/dns/dns-query.ts';
import { DnsServer } from '../../../agent/dns/dns-server.ts';
import { frameMessage } from '../../../agent/dns/upstream-resolver.ts';
import { configureAgentLog } from '../../../agent/log.ts';
import { encodeMessage } from '../../../protos/messages.ts';
import { type AgentProcess, meshAuthority, startAgent } from '../../integration/agent/agent-process.ts';
import { Istiod } from '../../integration/agent/istiod.ts';
import { findPilotAgent } from '../../integration/iptables/original.ts';
import { Random } from '../../support/random.ts';
import { damage, makeQuery, makeTable } from './dns-grammar.ts';

const [nameserver, seedText, tableCount, queryCount] = process.argv.slice(2);
const istiodPort = 15012;
const ports = { real: 15053, own: 15054 } as const;
const tableType = 'type.googleapis.com/istio.networking.nds.v1.NameTable';
/** Longer than the nameserver's patience with itself, on a busy machine. */
const answerTimeoutMs = 2500;
const forwardTimeoutMs = 500;
/** Few enough that no socket's buffer runs over. */
const parallelQueries = 125;

const cleanups: (() => unknown)[] = [];
const scope = { teardown: (cleanup: () => unknown) => void cleanups.push(cleanup) };

/** Answers by the first label; null says nothing. */
function answerOutside(query: Buffer, maxBytes: number): readonly Buffer[] {
  const question = readQuery(query);
  if (question === null) return [];
  if ('refusal' in question) return [question.refusal];
  const { name } = question;
  const ofName = { name, ttlSeconds: 60 };
  const addresses = (count: number) =>
    Array.from({ length: count }, (_, i) => ({ ...ofName, type: recordTypes.a, data: Buffer.from([9, 9, 9, i]) }));
  const limit = Math.min(maxBytes, maxBytes === 65_535 ? maxBytes : question.udpBytes);
  const whole = writeAnswer(question, addresses(1), responseCodes.noError, limit);
  switch (name.split('.')[0].toLowerCase()) {
    case 'many':
      return [writeAnswer(question, addresses(60), responseCodes.noError, limit)];
    case 'alias': {
      const alias = { ...ofName, type: recordTypes.cname, data: encodeName('other.org') };
      return [writeAnswer(question, [alias], responseCodes.noError, limit)];
    }
    case 'refused':
      return [writeAnswer(question, [], 5, limit)];
    case 'silent':
      return [];
    case 'broken':
      return [whole.subarray(0, whole.length - 6)];
    case 'foreign':
      return [Buffer.concat([Buffer.from([~whole[0] & 0xff]), whole.subarray(1)]), whole];
    case 'web':
      return [whole];
    default:
      return [writeAnswer(question, [], 3, limit)];
  }
}

async function startNameserver(): Promise<void> {
  const udp = createSocket('udp4');
  udp.on('message', (query, peer) => {
    for (const answer of answerOutside(query, 65_534)) udp.send(answer, peer.port, peer.address);
  });
  const tcp = createServer(socket => {
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: Buffer) => {
      for (const answer of answerOutside(chunk.subarray(2), 65_535)) socket.write(frameMessage(answer));
    });
  });
  await new Promise<void>(resolve => udp.bind(53, nameserver, resolve));
  await new Promise<void>(resolve => tcp.listen(53, nameserver, resolve));
}

/** The answer to a query; null if there is none. */
function ask(port: number, query: Buffer, overTcp: boolean): Promise<Buffer | null> {
  return overTcp ? askOverTcp(port, query) : askOverUdp(port, query);
}

function askOverUdp(port: number, query: Buffer): Promise<Buffer | null> {
  return new Promise(resolve => {
    const socket = createSocket('udp4');
    const settle = (answer: Buffer | null): void => {
      clearTimeout(timer);
      socket.close();
      resolve(answer);
    };
    const timer = setTimeout(() => settle(null), answerTimeoutMs);
    socket.once('message', settle);
    socket.connect(port, '127.0.0.1', () => socket.send(query));
  });
}

function askOverTcp(port: number, query: Buffer): Promise<Buffer | null> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1');
    let received = Buffer.alloc(0);
    const timer = setTimeout(() => socket.destroy(), answerTimeoutMs);
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) socket.destroy();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(received.length >= 2 ? received.subarray(2) : null);
    });
    socket.write(frameMessage(query));
  });
}

// Standard output is for the answers.
configureAgentLog({ outputLevel: 'dns:none', json: false, targets: ['stderr'] });
const istiod = new Istiod({ authority: meshAuthority, port: istiodPort });
const own = new DnsServer({
  address: `127.0.0.1:${ports.own}`,
  namespace: 'n',
  domain: 'n.svc.cluster.local',
  resolvConf: '/etc/resolv.conf',
  parallel: false,
  timeoutMs: forwardTimeoutMs,
});

/** Gives both servers a table: the real one asks istiod for it, on behalf of a proxy. */
async function publish(folder: string, name: string, table: ReturnType<typeof makeTable>): Promise<void> {
  table[name] = { ips: ['10.255.0.1'], registry: 'External', shortname: '', namespace: 'n', alt_hosts: [] };
  const bytes = encodeMessage('istio.networking.nds.v1.NameTable', { table } as never);
  own.update(bytes);
  istiod.resources.set(tableType, bytes);
  const client = new Client(`unix:${join(folder, 'etc/istio/proxy/XDS')}`, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
  });
  const passBytes = (message: Buffer): Buffer => message;
  const path = '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources';
  const marker = makeQueryOf(name);
  for (;;) {
    const stream = client.makeBidiStreamRequest(path, passBytes, passBytes, new Metadata());
    stream.on('error', () => {});
    stream.on('data', () => {});
    const type_url = 'type.googleapis.com/envoy.config.listener.v3.Listener';
    stream.write(encodeMessage('envoy.service.discovery.v3.DeltaDiscoveryRequest', { node: { id: 'sidecar' }, type_url }));
    for (let i = 0; i < 20; i++) {
      await sleep(50);
      const answer = await ask(ports.real, marker, true);
      if (answer !== null && answer.readUInt16BE(6) > 0) {
        stream.cancel();
        client.close();
        return;
      }
    }
    stream.cancel();
  }
}

function makeQueryOf(name: string): Buffer {
  const header = Buffer.from([0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([header, encodeName(name), Buffer.from([0, 1, 0, 1])]);
}

async function compare({ folder, statusPort }: AgentProcess, seed: number): Promise<void> {
  const random = new Random(seed);
  const table = makeTable(random);
  const hosts = Object.entries(table).flatMap(([host, { alt_hosts }]) => [host, ...alt_hosts]);
  await publish(folder, `marker-${seed}.test`, table);
  const shown = await (await fetch(`http://127.0.0.1:${statusPort}/debug/ndsz`)).json();
  console.log(JSON.stringify({ seed, real: shown, own: own.describe() }));
  const queries = Array.from({ length: Number(queryCount) }, () => {
    const whole = makeQuery(random, hosts);
    return { query: random.chance(0.15) ? damage(random, whole) : whole, overTcp: random.chance(0.3) };
  });
  for (let start = 0; start < queries.length; start += parallelQueries) {
    const asked = queries.slice(start, start + parallelQueries).map(async ({ query, overTcp }) => {
      const [real, actual] = await Promise.all([ask(ports.real, query, overTcp), ask(ports.own, query, overTcp)]);
      const hex = { query: query.toString('hex'), real: real?.toString('hex') ?? null, own: actual?.toString('hex') ?? null };
      console.log(JSON.stringify({ seed, overTcp, ...hex }));
    });
    await Promise.all(asked);
  }
}

await startNameserver();
await istiod.listen();
await own.listen();
const agent = await startAgent(scope, {
  command: [findPilotAgent() as string],
  config: { discoveryAddress: `127.0.0.1:${istiodPort}` },
  variables: {
    DISABLE_ENVOY: 'true',
    ISTIO_META_DNS_CAPTURE: 'true',
    DNS_PROXY_ADDR: `127.0.0.1:${ports.real}`,
    DNS_FORWARD_TIMEOUT: `${forwardTimeoutMs}ms`,
    POD_NAME: 'pod',
    POD_NAMESPACE: 'n',
    ISTIOD_SAN: 'istiod.istio-system.svc',
  },
});
try {
  for (let i = 0; i < Number(tableCount); i++) await compare(agent, Number(seedText) + i);
} finally {
  for (const cleanup of cleanups) await cleanup();
}
process.exit();
