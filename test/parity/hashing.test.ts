/** Consistent hashing: for the same key, Envoy and this proxy choose the same host, so that meshes may mix them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer, connect, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { findEnvoy } from '../support/envoy-binary.ts';
import { ownCommand, startProxy } from '../support/proxy-process.ts';
import { buildBootstrap, laneName } from './bootstrap.ts';
import { readListenerPorts } from './comparison.ts';
import type { ParityCase } from './parity-case.ts';

const hostCount = 5;
const keyCount = 150;
const weights = [1, 1, 2, 1, 5];

/** Hosts that answer with their number. */
async function startHosts(): Promise<Server[]> {
  const servers = Array.from({ length: hostCount }, (_, index) =>
    createServer(socket => {
      socket.on('error', () => {});
      socket.on('data', () => socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n${index}`));
    }),
  );
  await Promise.all(servers.map(server => new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))));
  return servers;
}

function buildCase(
  name: string,
  servers: readonly Server[],
  cluster: object,
  hashPolicy: object,
  isWeighted: boolean,
  { route = {}, edits = {} }: { route?: object; edits?: object } = {},
): ParityCase {
  const endpoints = servers.map((server, index) => ({
    endpoint: {
      address: { socket_address: { address: '127.0.0.1', port_value: (server.address() as AddressInfo).port } },
      hostname: `host-${index}.test`,
    },
    ...(isWeighted && { load_balancing_weight: weights[index] }),
  }));
  return {
    name,
    send: '',
    cluster: { ...cluster, load_assignment: { cluster_name: '$lane', endpoints: [{ lb_endpoints: endpoints }] } },
    routes: [{ match: { prefix: '/' }, route: { cluster: '$lane', hash_policy: [hashPolicy], ...route }, ...edits }],
  };
}

/** One connection, one request per key; the numbers of the hosts that answered. */
function askForKeys(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = '';
    let sent = 0;
    const socket = connect({ port, host: '127.0.0.1' });
    const send = () => {
      const key = `key-${sent++}`;
      socket.write(`GET /?q=${key} HTTP/1.1\r\nhost: a.test\r\nx-key: ${key}\r\ncookie: a=b; c=${key}\r\n\r\n`);
    };
    socket.on('connect', send);
    socket.on('error', reject);
    socket.on('data', chunk => {
      received += chunk.toString('latin1');
      const answers = received.match(/\r\n\r\n\d/g) ?? [];
      if (answers.length < sent) return;
      if (sent < keyCount) send();
      else {
        socket.destroy();
        resolve(answers.map(answer => answer.at(-1)).join(''));
      }
    });
  });
}

const envoy = findEnvoy();
t.test('hosts by hash', { skip: envoy === null && 'no Envoy binary (npm run mesh -- tools)', timeout: 200_000 }, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'parity-hashing-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const servers = await startHosts();
  const byHeader = { header: { header_name: 'x-key' } };
  const ring = { lb_policy: 'RING_HASH', ring_hash_lb_config: { minimum_ring_size: 1024 } };
  const cases = [
    buildCase('ring hash', servers, ring, byHeader, false),
    buildCase('ring hash of weighted hosts', servers, ring, byHeader, true),
    buildCase('ring hash, default size, by cookie', servers, { lb_policy: 'RING_HASH' }, { cookie: { name: 'c' } }, false),
    buildCase('ring hash by query', servers, ring, { query_parameter: { name: 'q' } }, false),
    buildCase(
      'ring hash by host name',
      servers,
      { ...ring, type: 'STRICT_DNS', common_lb_config: { consistent_hashing_lb_config: { use_hostname_for_hashing: true } } },
      byHeader,
      false,
    ),
    buildCase('ring hash by a path that is rewritten', servers, ring, { header: { header_name: ':path' } }, false, {
      route: { prefix_rewrite: '/rewritten/' },
    }),
    buildCase('ring hash by a header that the route edits', servers, ring, byHeader, false, {
      edits: {
        request_headers_to_add: [
          { header: { key: 'x-key', value: 'edited %REQ(x-key)%' }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' },
        ],
      },
    }),
    buildCase('maglev', servers, { lb_policy: 'MAGLEV' }, byHeader, false),
    buildCase(
      'maglev of weighted hosts',
      servers,
      { lb_policy: 'MAGLEV', maglev_lb_config: { table_size: 1009 } },
      byHeader,
      true,
    ),
  ];
  const lanes = cases.map(parityCase => ({ case: parityCase, logPath: '/dev/null', upstreamPort: 1, secondUpstreamPort: 0 }));
  const answers: string[][] = [];
  try {
    for (const [name, command] of [
      ['envoy', { command: envoy as string }],
      ['own', ownCommand()],
    ] as const) {
      const proxy = await startProxy({ name, ...command, bootstrap: buildBootstrap(lanes), folder });
      try {
        const ports = await readListenerPorts(proxy);
        answers.push(await Promise.all(cases.map((_, index) => askForKeys(ports.get(laneName(index)) as number))));
      } finally {
        await proxy.stop();
      }
    }
  } finally {
    for (const server of servers) server.close();
  }
  for (const [index, { name }] of cases.entries()) {
    t.equal(new Set(answers[0][index]).size, hostCount, `${name}: every host has keys`);
    t.equal(answers[1][index], answers[0][index], name);
  }
});
