import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { findFreePort, getAdmin, ownCommand, startProxy } from '../../support/proxy-process.ts';
import { waitFor } from '../wait.ts';

const typeUrl = (name: string): string => `type.googleapis.com/${name}`;

function makeFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'process-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

function makeListener(port: number, body: string): object {
  const manager = {
    '@type': typeUrl('envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'web',
    http_filters: [
      {
        name: 'envoy.filters.http.router',
        typed_config: { '@type': typeUrl('envoy.extensions.filters.http.router.v3.Router') },
      },
    ],
    route_config: {
      name: 'local',
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          routes: [{ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: body } } }],
        },
      ],
    },
  };
  return {
    name: 'web',
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: [{ filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: manager }] }],
  };
}

function fetchBody(port: number): Promise<string> {
  return new Promise(resolve => {
    const outgoing = get({ host: '127.0.0.1', port, path: '/', agent: false }, response => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', chunk => {
        body += chunk;
      });
      response.on('end', () => resolve(body));
    });
    outgoing.on('error', (error: NodeJS.ErrnoException) => resolve(String(error.code)));
  });
}

/** Runs the proxy to its end. */
function run(args: readonly string[]): Promise<{ code: number | null; output: string; errors: string }> {
  const { command, args: first } = ownCommand();
  const child = spawn(command, [...first, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let errors = '';
  child.stdout.on('data', chunk => {
    output += chunk;
  });
  child.stderr.on('data', chunk => {
    errors += chunk;
  });
  return new Promise(resolve => child.once('close', code => resolve({ code, output, errors })));
}

t.test('SIGTERM ends it with status 0', async t => {
  const port = await findFreePort();
  const bootstrap = { static_resources: { listeners: [makeListener(port, 'hi')] } };
  const proxy = await startProxy({ name: 'proxy', ...ownCommand(), bootstrap, folder: makeFolder(t) });
  t.equal(await fetchBody(port), 'hi');
  const exited = new Promise(resolve => proxy.child.once('exit', (code, signal) => resolve([code, signal])));
  proxy.child.kill('SIGTERM');
  t.strictSame(await exited, [0, null]);
});

t.test('/quitquitquit ends it with status 0, /healthcheck/fail changes its state', async t => {
  const bootstrap = { static_resources: {} };
  const proxy = await startProxy({ name: 'proxy', ...ownCommand(), bootstrap, folder: makeFolder(t) });
  await getAdmin(proxy.adminPort, '/healthcheck/fail', 'POST');
  t.match(await getAdmin(proxy.adminPort, '/stats?filter=^server.state$'), 'server.state: 1');
  await getAdmin(proxy.adminPort, '/healthcheck/ok', 'POST');
  t.match(await getAdmin(proxy.adminPort, '/stats?filter=^server.state$'), 'server.state: 0');
  const exited = new Promise(resolve => proxy.child.once('exit', resolve));
  await getAdmin(proxy.adminPort, '/quitquitquit', 'POST');
  t.equal(await exited, 0);
});

t.test('listeners from a watched file change with it; a bad file changes nothing', async t => {
  const folder = makeFolder(t);
  const path = join(folder, 'lds.json');
  const port = await findFreePort();
  const write = (resources: readonly object[]): void => {
    writeFileSync(`${path}.new`, JSON.stringify({ version_info: '1', resources }));
    renameSync(`${path}.new`, path);
  };
  const resource = (body: string): object => ({
    '@type': typeUrl('envoy.config.listener.v3.Listener'),
    ...makeListener(port, body),
  });
  write([resource('one')]);
  const bootstrap = { node: { id: 'a', cluster: 'a' }, dynamic_resources: { lds_config: { path_config_source: { path } } } };
  const proxy = await startProxy({ name: 'proxy', ...ownCommand(), bootstrap, folder });
  t.teardown(() => proxy.stop());
  t.equal(await fetchBody(port), 'one');
  write([resource('two')]);
  await waitFor(async () => (await fetchBody(port)) === 'two');
  writeFileSync(path, '{"resources": [');
  await waitFor(async () => /update_failure: 1/.test(await getAdmin(proxy.adminPort, '/stats?filter=lds.update_failure')));
  t.equal(await fetchBody(port), 'two');
  write([]);
  await waitFor(async () => (await fetchBody(port)) === 'ECONNREFUSED');
});

t.test('--mode validate says OK, or names the resource and the field', async t => {
  const folder = makeFolder(t);
  const path = join(folder, 'bootstrap.json');
  writeFileSync(path, JSON.stringify({ static_resources: { listeners: [makeListener(0, 'hi')] } }));
  t.match(await run(['--mode', 'validate', '-c', path]), { code: 0, output: `configuration '${path}' OK\n` });
  const listener = { ...makeListener(0, 'hi'), address: undefined };
  writeFileSync(path, JSON.stringify({ static_resources: { listeners: [listener] } }));
  const { code, errors } = await run(['--mode', 'validate', '-c', path]);
  t.equal(code, 1);
  t.match(errors, /error adding listener 'web': address/);
});

t.test('--log-path takes the log of every thread, and a new file after a reopen', async t => {
  const folder = makeFolder(t);
  const logPath = join(folder, 'proxy.log');
  const extraArgs = ['--log-path', logPath, '--component-log-level', 'main:info'];
  const bootstrap = { static_resources: {} };
  const proxy = await startProxy({ name: 'proxy', ...ownCommand(), bootstrap, folder, extraArgs });
  t.match(readFileSync(logPath, 'utf8'), /starting workers/);
  renameSync(logPath, `${logPath}.1`);
  await getAdmin(proxy.adminPort, '/reopen_logs', 'POST');
  await proxy.stop();
  t.match(readFileSync(logPath, 'utf8'), /SIGTERM/);
  t.equal(proxy.log(), '');
  const path = join(folder, 'proxy.json');
  const { code, errors } = await run(['-c', path, '--log-path', join(folder, 'none', 'x')]);
  t.equal(code, 1);
  t.match(errors, /Failed to open log-file/);
});

t.test('an address in use is an error at start', async t => {
  const folder = makeFolder(t);
  const server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const path = join(folder, 'bootstrap.json');
  writeFileSync(path, JSON.stringify({ static_resources: { listeners: [makeListener(port, 'hi')] } }));
  const { code, errors } = await run(['-c', path, '--concurrency', '1']);
  t.equal(code, 1);
  t.match(errors, /in use/);
});

t.test('a wrong command line is refused as Envoy refuses it', async t => {
  t.match(await run(['--nothing']), { code: 1, errors: /Couldn't find match for argument/ });
  t.match(await run(['-c', '/does/not/exist']), { code: 1, errors: /\/does\/not\/exist/ });
  t.match(await run([]), { code: 1, errors: /At least one of --config-path or --config-yaml/ });
});
