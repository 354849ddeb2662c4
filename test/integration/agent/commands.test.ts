/** Commands that hooks and probes start every few seconds: what they load, and how they end. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';

const main = join(import.meta.dirname, '../../../agent/main.ts');

type Outcome = { readonly code: number | null; readonly output: string; readonly modules: readonly string[] };

/** Runs a command to its end; Node itself notes which sources it loaded. */
async function run(...argv: readonly string[]): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'command-'));
  try {
    // Without the hooks of the test runner.
    const command = ['-u', 'NODE_OPTIONS', process.execPath, main, ...argv];
    const child = spawn('env', command, { env: { PATH: process.env.PATH, NODE_V8_COVERAGE: folder } });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', chunk => {
        output += chunk;
      });
    }
    const [code] = (await once(child, 'close')) as [number | null];
    const reports = readdirSync(folder).map(name => JSON.parse(readFileSync(join(folder, name), 'utf8')));
    const modules = reports.flatMap(({ result }: { result: { url: string }[] }) => result.map(({ url }) => url));
    return { code, output, modules };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const server = createServer((request, response) => {
  response.statusCode = request.url === '/ready' ? 200 : 503;
  response.end();
}).listen(0, '127.0.0.1');
await once(server, 'listening');
t.teardown(() => server.close());
const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

for (const [name, argv, code] of [
  ['wait', ['wait', `--url=${origin}/ready`, '--periodMillis=10'], 0],
  ['a wait in vain', ['wait', `--url=${origin}/never`, '--periodMillis=10', '--timeoutSeconds=1'], 255],
  ['request', ['request', 'GET', 'stats', '--debug-port=1'], 255],
  ['version', ['version'], 0],
] as const) {
  t.test(`${name} loads no library, and ends with ${code}`, async t => {
    const outcome = await run(...argv);
    t.equal(outcome.code, code, outcome.output);
    t.ok(outcome.modules.some(url => url.endsWith('/agent/main.ts')));
    t.strictSame(
      outcome.modules.filter(url => /node_modules|protos|lifecycle/.test(url)),
      [],
    );
  });
}

t.test('a wait in vain tells the last answer', async t => {
  const { output } = await run('wait', `--url=${origin}/never`, '--periodMillis=10', '--timeoutSeconds=1');
  t.match(output, 'Error: timeout waiting for Envoy proxy to become ready. Last error: HTTP status code 503');
});
