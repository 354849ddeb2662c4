/** The whole redirection: kernel rules of the init step, this proxy behind them, and Envoy on the same bootstrap beside it. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { findEnvoy } from '../support/envoy-binary.ts';
import { ownCommand } from '../support/proxy-process.ts';
import { namespaceObstacle } from './iptables/original.ts';
import { ports, sidecarBootstrap } from './redirect/bootstrap.ts';
import type { Exchange } from './redirect/peer.ts';
import { addresses, type Family, Pod, versionsOf } from './redirect/pod.ts';
import { makeCertificates } from './static-bootstrap.ts';

const skip = namespaceObstacle() ?? false;
const folder = mkdtempSync(join(tmpdir(), 'redirect-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
/** Ports that the configuration does not know. */
const unknown = { tcp: 9191, tls: 9443, http: 9292 };
const burstPorts = Array.from({ length: 10 }, (_, i) => 9500 + i);

interface Case {
  readonly name: string;
  readonly from: 'app' | 'outside';
  readonly exchange: Exchange;
  readonly expected: string;
}

const get = (host: string, path: string): string => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;

function outboundCases(version: 4 | 6): Case[] {
  const { pod, outside, virtual, loopback } = addresses[version];
  const from = 'app';

  return [
    {
      name: 'HTTP to a virtual address goes to the cluster of its host',
      from,
      exchange: { host: virtual, port: 80, send: get('web.test', '/by-host') },
      expected: `to ${ports.web}: /by-host`,
    },
    {
      name: 'HTTP of an unknown host goes where it was going',
      from,
      exchange: { host: outside, port: 80, send: get('other.test', '/through') },
      expected: `http ${pod} to 80: /through`,
    },
    {
      name: 'what is no HTTP on an HTTP port goes where it was going',
      from,
      exchange: { host: outside, port: 81, send: 'SSH-2.0-x\r\n' },
      expected: `tcp ${pod} to 81: SSH-2.0-x`,
    },
    {
      name: 'TCP to a virtual address goes to its cluster',
      from,
      exchange: { host: virtual, port: ports.virtualTcp, send: 'hello\n' },
      expected: `to ${ports.tcp}: hello`,
    },
    {
      name: 'TCP to an unknown address passes through',
      from,
      exchange: { host: outside, port: 7000, send: 'hello\n' },
      expected: `tcp ${pod} to 7000: hello`,
    },
    {
      name: 'an application reaches itself without the proxy',
      from,
      exchange: { host: pod, port: ports.appTcp, send: 'self\n' },
      expected: `tcp ${pod} to ${ports.appTcp}: self`,
    },
    {
      name: 'a direct connect to 15001 ends',
      from,
      exchange: { host: loopback, port: 15_001, send: 'loop\n' },
      expected: 'ended',
    },
    {
      name: 'a direct connect to 15006 ends',
      from,
      exchange: { host: loopback, port: 15_006, send: 'loop\n' },
      expected: 'ended',
    },
  ];
}

function inboundCases(version: 4 | 6): Case[] {
  const { pod, source } = addresses[version];
  const from = 'outside';
  const at = (port: number, send: string, serverName?: string): Exchange => ({ host: pod, port, send, serverName });
  return [
    {
      name: 'inbound HTTP comes from the source of inbound clusters',
      from,
      exchange: at(ports.appHttp, get('pod', '/in')),
      expected: `http ${source} to ${ports.appHttp}: /in`,
    },
    { name: 'inbound TCP', from, exchange: at(ports.appTcp, 'hello\n'), expected: `tcp ${source} to ${ports.appTcp}: hello` },
    {
      name: 'TCP on an unknown port',
      from,
      exchange: at(unknown.tcp, 'hello\n'),
      expected: `tcp ${source} to ${unknown.tcp}: hello`,
    },
    {
      name: 'HTTP on an unknown port',
      from,
      exchange: at(unknown.http, get('pod', '/in')),
      expected: `http ${source} to ${unknown.http}: /in`,
    },
    {
      name: "an application's own TLS on an unknown port",
      from,
      exchange: at(unknown.tls, 'hello\n', 'app.test'),
      expected: `tls ${source} to ${unknown.tls}: hello`,
    },
    { name: '15001 from outside', from, exchange: at(15_001, 'loop\n'), expected: 'ended' },
    { name: '15006 from outside', from, exchange: at(15_006, 'loop\n'), expected: 'ended' },
    { name: 'a port where nobody listens', from, exchange: at(9999, 'hello\n'), expected: 'ended' },
  ];
}

async function startServices(pod: Pod, family: Family): Promise<void> {
  const { certificate, key } = makeCertificates(folder);
  const pem = readFileSync(certificate, 'utf8') + readFileSync(key, 'utf8');
  for (const version of versionsOf(family)) {
    const { any } = addresses[version];
    const listen = (peer: Pod['app'], service: 'http' | 'tcp' | 'tls', port: number): Promise<string> =>
      peer.do({ kind: 'listen', service, host: any, port, pem });
    await listen(pod.outside, 'http', 80);
    await listen(pod.outside, 'tcp', 81);
    await listen(pod.outside, 'http', ports.web);
    await listen(pod.outside, 'tcp', ports.tcp);
    await listen(pod.outside, 'tcp', 7000);
    await listen(pod.app, 'http', ports.appHttp);
    for (const port of [ports.appTcp, unknown.tcp, ...burstPorts]) await listen(pod.app, 'tcp', port);
    await listen(pod.app, 'http', unknown.http);
    await listen(pod.app, 'tls', unknown.tls);
  }
}

async function startPod(t: Test, family: Family): Promise<Pod> {
  const pod = new Pod(family);
  t.teardown(() => pod.remove());
  await startServices(pod, family);
  pod.redirect(family);
  return pod;
}

for (const family of ['IPv4', 'IPv6', 'dual stack'] as const) {
  t.test(`redirected traffic, ${family}`, { skip }, async t => {
    const pod = await startPod(t, family);
    const cases = versionsOf(family).flatMap(version => [...outboundCases(version), ...inboundCases(version)]);
    const run = async (): Promise<string[]> => {
      const answers: string[] = [];
      for (const { from, exchange } of cases) answers.push(await pod[from].do({ kind: 'exchange', ...exchange }));
      return answers;
    };
    await pod.startProxy(ownCommand(), sidecarBootstrap(family), folder, 2);
    const own = await run();
    for (const [i, { name, expected, exchange }] of cases.entries()) t.match(own[i], expected, `${name} (${exchange.host})`);
    await pod.stopProxy();
    const envoy = findEnvoy();
    if (envoy === null) return;
    await pod.startProxy({ command: envoy, args: [] }, sidecarBootstrap(family), folder, 2);
    t.same(own, await run(), 'as Envoy');
  });
}

t.test('new inbound connections do not exhaust the source ports', { skip }, async t => {
  const pod = await startPod(t, 'IPv4');
  // Ports that are bound before the connect are taken for all destinations at once: 1,000 would not do for 2,000 connections.
  pod.exec('sysctl', '-qw', 'net.ipv4.ip_local_port_range=40000 40999', 'net.ipv4.tcp_tw_reuse=0');
  await pod.startProxy(ownCommand(), sidecarBootstrap('IPv4'), folder, 2);
  const burst = { kind: 'burst', host: addresses[4].pod, ports: burstPorts, count: 2000, width: 20 } as const;
  t.same(JSON.parse(await pod.outside.do(burst)), { answered: 2000 });
});

for (const concurrency of [2, 3, 4]) {
  t.test(`${concurrency} workers share few connections exactly, and hand-overs under load lose nothing`, { skip }, async t => {
    const pod = await startPod(t, 'IPv4');
    await pod.startProxy(ownCommand(), sidecarBootstrap('IPv4'), folder, concurrency);
    const { pod: host, outside } = addresses[4];
    const perWorker = 4;
    const keep = { kind: 'exchange', host, port: ports.appTcp, send: 'hello\n', keep: true } as const;
    for (let i = 0; i < perWorker * concurrency; i++) await pod.outside.do(keep);
    const workers = Array.from({ length: concurrency }, (_, i) => i);
    const spread = () => Promise.all(workers.map(i => pod.stat(`listener.0.0.0.0_15006.worker_${i}.downstream_cx_active`)));
    t.same(
      await spread(),
      workers.map(() => perWorker),
      'the same number on every worker',
    );
    const [inbound, outbound] = await Promise.all([
      pod.outside.do({ kind: 'burst', host, ports: [ports.appTcp, unknown.tcp], count: 1000, width: 16 }),
      pod.app.do({ kind: 'burst', host: outside, ports: [7000], count: 1000, width: 16 }),
    ]);
    t.same([JSON.parse(inbound), JSON.parse(outbound)], [{ answered: 1000 }, { answered: 1000 }]);
    await pod.outside.do({ kind: 'release' });
  });
}
