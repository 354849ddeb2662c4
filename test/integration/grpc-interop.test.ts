/**
 * The interop client and server of google.golang.org/grpc through two proxies, as between two sidecars: HTTP/2 in the clear to
 * the first, mutual TLS between them, HTTP/2 in the clear from the second.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { findEnvoy } from '../support/envoy-binary.ts';
import { findFreePort, ownCommand, startProxy } from '../support/proxy-process.ts';
import { httpFilter, makeCertificates, staticCluster, staticListener, type TestCertificates } from './static-bootstrap.ts';
import { waitFor } from './wait.ts';

const cases = [
  'empty_unary',
  'large_unary',
  'client_streaming',
  'server_streaming',
  'ping_pong',
  'empty_stream',
  'timeout_on_sleeping_server',
  'cancel_after_begin',
  'cancel_after_first_response',
  'status_code_and_message',
  'special_status_message',
  'custom_metadata',
  'unimplemented_method',
  'unimplemented_service',
];
const folders = [process.env.MESH_CACHE && join(process.env.MESH_CACHE, 'bin'), join(homedir(), '.cache', 'meshlab', 'bin')];
const folder = folders.find(path => path && existsSync(join(path, 'grpc-interop-client')));
const options = { skip: folder === undefined && 'no gRPC interop binaries (npm run mesh -- tools)', timeout: 300_000 };

function http2Cluster(name: string, port: number, tls?: TestCertificates): object {
  return {
    ...staticCluster(name, port, tls),
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        explicit_http_config: { http2_protocol_options: {} },
      },
    },
  };
}

function isListening(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

/** The two hops, each a process of its own. Returns the port of the first. */
async function startHops(commands: { client: object; server: object }, stop: (() => Promise<void>)[]): Promise<number> {
  const scratch = mkdtempSync(join(tmpdir(), 'grpc-interop-'));
  stop.push(async () => rmSync(scratch, { recursive: true }));
  const tls = makeCertificates(scratch);
  const [entry, middle, target] = [await findFreePort(), await findFreePort(), await findFreePort()];
  const application: ChildProcess = spawn(join(folder as string, 'grpc-interop-server'), [`--port=${target}`], {
    stdio: 'ignore',
  });
  stop.push(async () => void application.kill('SIGKILL'));
  await waitFor(() => isListening(target));
  const hop = async (name: 'client' | 'server', listener: object, cluster: object) => {
    const bootstrap = { static_resources: { listeners: [listener], clusters: [cluster] } };
    const proxy = await startProxy({ name, ...(commands[name] as { command: string }), bootstrap, folder: scratch });
    stop.unshift(() => proxy.stop());
  };
  await hop(
    'server',
    staticListener({ port: middle, filter: httpFilter('application'), tls }),
    http2Cluster('application', target),
  );
  await hop('client', staticListener({ port: entry, filter: httpFilter('peer') }), http2Cluster('peer', middle, tls));
  return entry;
}

const own = ownCommand();
const envoy = findEnvoy();
const pairs = [
  { name: 'this proxy at both ends', client: own, server: own, skip: false },
  { name: 'to Envoy', client: own, server: { command: envoy }, skip: envoy === null && 'no Envoy binary' },
  { name: 'from Envoy', client: { command: envoy }, server: own, skip: envoy === null && 'no Envoy binary' },
];

for (const { name, client, server, skip } of pairs) {
  t.test(`gRPC interop, ${name}`, { ...options, skip: options.skip || skip }, async t => {
    const stop: (() => Promise<void>)[] = [];
    t.teardown(async () => {
      for (const each of stop) await each();
    });
    const port = await startHops({ client, server }, stop);
    for (const testCase of cases) {
      const args = ['--server_host=127.0.0.1', `--server_port=${port}`, `--test_case=${testCase}`];
      const run = promisify(execFile)(join(folder as string, 'grpc-interop-client'), args, { timeout: 60_000 });
      await t.resolves(run, testCase);
    }
  });
}
