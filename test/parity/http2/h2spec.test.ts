/** h2spec, the conformance suite for HTTP/2, against Envoy and this proxy: every case that Envoy passes passes here. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { findEnvoy } from '../../support/envoy-binary.ts';
import { ownCommand, startProxy } from '../../support/proxy-process.ts';
import { buildBootstrap, laneName } from '../bootstrap.ts';
import { readListenerPorts } from '../comparison.ts';

/** Requests are still under way when the suite breaks the rules of their streams. */
const answerAfterMs = 300;
/** How long the suite waits for an answer before a case has failed. */
const caseTimeoutS = 5;

const folders = [process.env.MESH_CACHE, join(homedir(), '.cache', 'node-sidecar-mesh'), join(homedir(), '.cache', 'meshlab')];
const h2spec = folders.map(folder => join(folder ?? '/nowhere', 'bin', 'h2spec')).find(path => existsSync(path));
const envoy = findEnvoy();

/** Names of the cases that passed. */
function readPassed(reportPath: string): Set<string> {
  const passed = new Set<string>();
  const report = readFileSync(reportPath, 'utf8');
  for (const [, attributes, body] of report.matchAll(/<testcase ([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)) {
    if (!body?.includes('<failure') && !body?.includes('<error')) passed.add(attributes.replace(/ time="[^"]*"/, ''));
  }
  return passed;
}

async function runSuite(name: string, command: { command: string; args?: string[] }, upstreamPort: number, folder: string) {
  const lane = { case: {}, logPath: join(folder, `${name}.log`), upstreamPort, secondUpstreamPort: 0 };
  const proxy = await startProxy({ name, ...command, bootstrap: buildBootstrap([lane]), folder });
  try {
    const port = (await readListenerPorts(proxy)).get(laneName(0)) as number;
    const report = join(folder, `${name}.xml`);
    const args = ['-h', '127.0.0.1', '-p', String(port), '--timeout', String(caseTimeoutS), '--junit-report', report];
    // It fails if any case does.
    await promisify(execFile)(h2spec as string, args).catch(() => {});
    return readPassed(report);
  } finally {
    await proxy.stop();
  }
}

const missing = envoy === null ? 'Envoy' : h2spec === undefined ? 'h2spec' : null;
t.test('h2spec', { skip: missing !== null && `no ${missing} (npm run mesh -- tools)`, timeout: 600_000 }, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'h2spec-'));
  const upstream = createServer((request, response) => {
    request.resume();
    setTimeout(() => response.end('ok'), answerAfterMs);
  });
  await new Promise<void>(resolve => upstream.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    upstream.closeAllConnections();
    upstream.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const { port } = upstream.address() as AddressInfo;
  const [expected, actual] = await Promise.all([
    runSuite('envoy', { command: envoy as string }, port, folder),
    runSuite('own', ownCommand(), port, folder),
  ]);
  t.ok(expected.size > 100, `Envoy passes ${expected.size} cases`);
  for (const name of expected) t.ok(actual.has(name), name);
  t.comment(`Envoy passes ${expected.size} cases, this proxy ${actual.size}`);
});
