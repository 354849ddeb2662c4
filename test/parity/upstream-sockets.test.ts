/** Sockets to the upstream: Unix ones, and keepalive of TCP ones, as Envoy makes them. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { findEnvoy } from '../support/envoy-binary.ts';
import { getAdmin, ownCommand, startProxy } from '../support/proxy-process.ts';
import { buildBootstrap, laneName } from './bootstrap.ts';
import { readListenerPorts } from './comparison.ts';

const folder = mkdtempSync(join(tmpdir(), 'upstream-sockets-'));
const unixPath = join(folder, 'app.sock');
const missingPath = join(folder, 'none.sock');
const logPath = (name: string, lane: number) => join(folder, `${name}-${lane}.log`);

const answer = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

async function startServer(t: Test, where: string | number): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer(socket => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', () => socket.write(answer));
  });
  await new Promise<void>(resolve => {
    if (typeof where === 'string') server.listen(where, resolve);
    else server.listen(where, '127.0.0.1', resolve);
  });
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return typeof where === 'string' ? 0 : (server.address() as AddressInfo).port;
}

const pipe = (path: string) => ({
  load_assignment: {
    cluster_name: '$lane',
    endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path } } } }] }],
  },
});
const keepalive = { keepalive_time: 100, keepalive_interval: 7, keepalive_probes: 3 };
const accessLog = (path: string) => ({
  access_log: [
    {
      name: 'envoy.access_loggers.file',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
        path,
        log_format: { text_format_source: { inline_string: '%RESPONSE_CODE% %RESPONSE_FLAGS% %UPSTREAM_HOST%\n' } },
      },
    },
  ],
});

/** A connection that stays open behind the answer, so that the one to the upstream does too. */
function ask(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.on('error', reject);
    socket.on('data', data => resolve(data.toString('latin1').split('\r\n')[0]));
    socket.write('GET / HTTP/1.1\r\nhost: a.test\r\n\r\n');
    socket.unref();
  });
}

/** Seconds of the timer that the kernel shows for the proxy's connection to the port. */
function readKeepalive(port: number): string {
  const lines = execFileSync('ss', ['-tnoH', 'state', 'established', `dport = :${port}`], { encoding: 'utf8' });
  const seconds = /timer:\(keepalive,(?:(\d+)min)?(?:(\d+)(?:\.\d+)?sec)?/.exec(lines);
  if (seconds === null) return 'none';
  const left = Number(seconds[1] ?? 0) * 60 + Number(seconds[2] ?? 0);
  return left > 60 && left <= 100 ? 'as configured' : `${left} s`;
}

const envoy = findEnvoy();
const skip =
  (envoy === null && 'no Envoy binary (npm run mesh -- tools)') ||
  (spawnSync('ss', ['-V']).status !== 0 && 'needs ss of iproute2');

t.test('sockets of upstream connections', { skip, timeout: 60_000 }, async t => {
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  await startServer(t, unixPath);
  const seen: object[] = [];
  for (const [name, command] of [
    ['envoy', { command: envoy as string }],
    ['own', ownCommand()],
  ] as const) {
    const [kept, plain] = [await startServer(t, 0), await startServer(t, 0)];
    const clusters = [pipe(unixPath), pipe(missingPath), { upstream_connection_options: { tcp_keepalive: keepalive } }, {}];
    const lanes = clusters.map((cluster, lane) => ({
      case: { name, cluster, manager: accessLog(logPath(name, lane)) },
      logPath: '/dev/null',
      upstreamPort: lane === 2 ? kept : plain,
      secondUpstreamPort: 0,
    }));
    const proxy = await startProxy({ name, ...command, bootstrap: buildBootstrap(lanes), folder });
    const ports = await readListenerPorts(proxy);
    const answers = await Promise.all(clusters.map((_, lane) => ask(ports.get(laneName(lane)) as number)));
    const keepalives = [readKeepalive(kept), readKeepalive(plain)];
    const listed = (await getAdmin(proxy.adminPort, '/clusters'))
      .split('\n')
      .filter(line => /^lane[01]::.*(?:rq_total|cx_connect_fail)/.test(line))
      .sort();
    await proxy.stop();
    const logs = [0, 1].map(lane => readFileSync(logPath(name, lane), 'utf8'));
    seen.push({ answers, keepalives, listed, logs });
  }
  t.match(seen[0], { keepalives: ['as configured', 'none'] });
  t.same(seen[1], seen[0]);
});
