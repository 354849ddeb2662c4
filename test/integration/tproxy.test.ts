/** TPROXY end to end: rules, transparent listeners, original sources and their marks; beside this proxy an Envoy on the same bootstrap. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { findEnvoy } from '../support/envoy-binary.ts';
import { findFreePort, getAdmin, ownCommand, startProxy } from '../support/proxy-process.ts';
import { namespaceObstacle } from './iptables/original.ts';
import { listenerFilter, ports, sidecarBootstrap } from './redirect/bootstrap.ts';
import type { Exchange } from './redirect/peer.ts';
import { httpFilter } from './static-bootstrap.ts';
import { addresses, Pod, type Redirection, versionsOf, type Family } from './redirect/pod.ts';
import { waitFor } from './wait.ts';

const skip = namespaceObstacle() ?? false;
const folder = mkdtempSync(join(tmpdir(), 'tproxy-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const unknownPort = 9191;
const at = (port: number): object => ({ socket_address: { address: '127.0.0.1', port_value: port } });
const get = (host: string, path: string): string => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;

interface Case {
  readonly name: string;
  readonly from: 'app' | 'outside';
  readonly exchange: Exchange;
  readonly expected: string;
}

function casesOf(version: 4 | 6): Case[] {
  const { pod, outside, virtual, loopback } = addresses[version];
  const toPod = (port: number, send: string): Exchange => ({ host: pod, port, send });
  return [
    {
      name: 'inbound HTTP comes from its client',
      from: 'outside',
      exchange: toPod(ports.appHttp, get('pod', '/in')),
      expected: `http ${outside} to ${ports.appHttp}: /in`,
    },
    {
      name: 'inbound TCP comes from its client',
      from: 'outside',
      exchange: toPod(ports.appTcp, 'hello\n'),
      expected: `tcp ${outside} to ${ports.appTcp}: hello`,
    },
    {
      name: 'a port that the configuration does not know',
      from: 'outside',
      exchange: toPod(unknownPort, 'hello\n'),
      expected: `tcp ${outside} to ${unknownPort}: hello`,
    },
    { name: 'a port where nobody listens', from: 'outside', exchange: toPod(9999, 'hello\n'), expected: 'ended' },
    { name: '15006 from outside', from: 'outside', exchange: toPod(15_006, 'loop\n'), expected: 'ended' },
    {
      name: 'outbound HTTP is redirected as ever',
      from: 'app',
      exchange: { host: virtual, port: 80, send: get('web.test', '/by-host') },
      expected: `to ${ports.web}: /by-host`,
    },
    {
      name: 'outbound TCP to an unknown address passes through',
      from: 'app',
      exchange: { host: outside, port: 7000, send: 'hello\n' },
      expected: `tcp ${pod} to 7000: hello`,
    },
    {
      name: 'an application reaches itself through a service address: out by one listener, in by the other',
      from: 'app',
      exchange: { host: virtual, port: 80, send: get('self.test', '/self') },
      expected: `to ${ports.appHttp}: /self`,
    },
    {
      name: 'an application reaches itself without the proxy',
      from: 'app',
      exchange: toPod(ports.appTcp, 'self\n'),
      expected: `tcp ${pod} to ${ports.appTcp}: self`,
    },
    {
      name: 'an application on loopback',
      from: 'app',
      exchange: { host: loopback, port: ports.appTcp, send: 'self\n' },
      expected: `tcp ${loopback} to ${ports.appTcp}: self`,
    },
  ];
}

async function startServices(pod: Pod, family: Family): Promise<void> {
  for (const version of versionsOf(family)) {
    const { any } = addresses[version];
    await pod.outside.do({ kind: 'listen', service: 'http', host: any, port: ports.web });
    await pod.outside.do({ kind: 'listen', service: 'tcp', host: any, port: 7000 });
    await pod.app.do({ kind: 'listen', service: 'http', host: any, port: ports.appHttp });
    for (const port of [ports.appTcp, unknownPort]) await pod.app.do({ kind: 'listen', service: 'tcp', host: any, port });
  }
}

const setUps: readonly { family: Family; tool: Redirection['tool'] }[] = [
  { family: 'IPv4', tool: 'iptables' },
  { family: 'IPv6', tool: 'iptables' },
  { family: 'dual stack', tool: 'nftables' },
];

for (const { family, tool } of setUps) {
  t.test(`transparent traffic, ${family}, ${tool}`, { skip }, async t => {
    const pod = new Pod(family);
    t.teardown(() => pod.remove());
    await startServices(pod, family);
    pod.redirect(family, { mode: 'TPROXY', tool });
    const cases = versionsOf(family).flatMap(casesOf);
    const run = async (): Promise<string[]> => {
      const answers: string[] = [];
      for (const { from, exchange } of cases) answers.push(await pod[from].do({ kind: 'exchange', ...exchange }));
      return answers;
    };
    await pod.startProxy(ownCommand(), sidecarBootstrap(family, true), folder, 2);
    const own = await run();
    for (const [i, { name, expected, exchange }] of cases.entries()) t.match(own[i], expected, `${name} (${exchange.host})`);
    // Every case from outside, and the application's way to itself; of two such ways the second may take the connection of the first.
    const versions = versionsOf(family).length;
    const name = `listener.${family === 'IPv6' ? '[__]' : '0.0.0.0'}_15006.downstream_cx_total`;
    const isExpected = (inbound: number): boolean => inbound > versions * 5 && inbound <= versions * 6;
    await waitFor(async () => isExpected(await pod.stat(name)));
    t.ok(isExpected(await pod.stat(name)), 'connections through the inbound listener');
    await pod.stopProxy();
    const envoy = findEnvoy();
    if (envoy === null) return;
    await pod.startProxy({ command: envoy, args: [] }, sidecarBootstrap(family, true), folder, 2);
    t.same(own, await run(), 'as Envoy');
  });
}

/** The proxy of the mesh's default: no capability. */
const noCapability = ['--bounding-set=-all', '--inh-caps=-all', '--ambient-caps=-all'];

t.test(
  'without the capability an original source fails the request, as in Envoy, and a transparent listener the start',
  { skip },
  async t => {
    const server = createServer((request, response) => response.end(request.url));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.teardown(() => server.close());
    const listenPort = await findFreePort();
    const cluster = {
      name: 'app',
      type: 'STATIC',
      load_assignment: {
        cluster_name: 'app',
        endpoints: [{ lb_endpoints: [{ endpoint: { address: at((server.address() as AddressInfo).port) } }] }],
      },
    };
    const listener = {
      name: 'inbound',
      address: at(listenPort),
      listener_filters: [listenerFilter('original_src', {}, { mark: 1337 })],
      filter_chains: [{ filters: [httpFilter('app')] }],
    };
    const start = (command: string, args: readonly string[], transparent: boolean): ReturnType<typeof startProxy> =>
      startProxy({
        name: 'capability',
        command: 'setpriv',
        args: [...noCapability, command, ...args],
        bootstrap: { static_resources: { listeners: [{ ...listener, transparent }], clusters: [cluster] } },
        folder,
      });
    const answerOf = async (command: string, args: readonly string[]): Promise<string[]> => {
      const proxy = await start(command, args, false);
      const text = await getAdmin(listenPort, '/');
      const counters = await getAdmin(
        proxy.adminPort,
        '/stats?filter=cluster.app.(bind_errors|upstream_cx_connect_fail|upstream_cx_total)',
      );
      await proxy.stop();
      return [text, ...counters.trim().split('\n')];
    };
    const { command, args } = ownCommand();
    const own = await answerOf(command, args);
    t.same(own, [
      'upstream connect error or disconnect/reset before headers. reset reason: local connection failure',
      'cluster.app.bind_errors: 0',
      'cluster.app.upstream_cx_connect_fail: 1',
      'cluster.app.upstream_cx_total: 1',
    ]);
    await t.rejects(
      start(command, args, true),
      /IP_TRANSPARENT option on socket failed: Operation not permitted \(needs CAP_NET_ADMIN\)/,
    );
    const envoy = findEnvoy();
    if (envoy === null) return;
    t.same(own, await answerOf(envoy, []), 'as Envoy');
    await t.rejects(start(envoy, [], true), /Setting socket options failed/);
  },
);
