/**
 * `npm start`: a mesh in one terminal, without root, Kubernetes or Go. An embedded control plane, a client sidecar and a server
 * sidecar (agent and proxy each), three applications behind the latter, mutual TLS in between.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type Mesh, startMesh } from './mesh.ts';
import { Tallies } from './tallies.ts';

const usage = `npm start -- [options]

Starts a control plane, two services with three endpoints, and a full sidecar (agent and proxy) on each side, with mutual TLS
between them; drives a little traffic and shows what went where, until Ctrl-C.

  --rate N       requests per second (20)
  --seconds N    end by itself after this time (0: run until Ctrl-C)
  --redirect     as root: network namespaces, and the init step's real redirection rules (the default for root)
  --no-redirect  also as root: everything on ports of this host
  --keep         keep the working folder with bootstrap files, sockets and logs
  --help         this text`;

interface Options {
  readonly rate: number;
  readonly seconds: number;
  readonly isRedirected: boolean;
  readonly keep: boolean;
}

/** @throws naming the option that is wrong. */
function readOptions(): Options | null {
  const { values } = parseArgs({
    allowNegative: true,
    options: {
      rate: { type: 'string', default: '20' },
      seconds: { type: 'string', default: '0' },
      redirect: { type: 'boolean' },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  const [rate, seconds] = [Number(values.rate), Number(values.seconds)];
  if (!(rate > 0 && rate <= 1000)) throw new Error(`--rate takes a number up to 1000, got '${values.rate}'`);
  if (!(seconds >= 0)) throw new Error(`--seconds takes a number, got '${values.seconds}'`);
  const isRoot = process.getuid?.() === 0;
  if (values.redirect && !isRoot) throw new Error('--redirect makes network namespaces and rules: it needs root');
  return { rate, seconds, isRedirected: values.redirect ?? isRoot, keep: values.keep };
}

function describe({ sidecars, services }: Mesh): string {
  const inside = (name: string, prefix: readonly string[]) => (prefix.length === 0 ? name : `${prefix.join(' ')} ${name}`);
  const lines = ['', 'Ready. Look around while it runs:'];
  const client = sidecars[0].site;
  for (const { name, address, port } of services) {
    lines.push(`  service ${name.padEnd(8)} ${inside(`curl -H 'Host: ${name}' http://${address}:${port}/`, client.application)}`);
  }
  for (const { site, logPath } of sidecars) {
    const { name, ports, application } = site;
    lines.push(`  sidecar ${name}`);
    lines.push(`    admin    ${inside(`curl http://127.0.0.1:${ports.admin}/`, application)}`);
    lines.push(`    health   ${inside(`curl http://127.0.0.1:${ports.health}/healthz/ready`, application)}`);
    lines.push(`    metrics  ${inside(`curl http://127.0.0.1:${ports.status}/stats/prometheus`, application)}`);
    lines.push(`    log      ${logPath}`);
  }
  return lines.concat('').join('\n');
}

/** Redraws in place on a terminal; elsewhere one table every five seconds. */
async function showTallies(tallies: Tallies, stopped: Promise<void>, seconds: number): Promise<void> {
  const isTerminal = process.stdout.isTTY;
  let done = false;
  stopped.then(() => {
    done = true;
  });
  const deadline = seconds > 0 ? Date.now() + seconds * 1000 : Number.POSITIVE_INFINITY;
  let height = 0;
  while (!done && Date.now() < deadline) {
    await Promise.race([stopped, wait(Math.min(isTerminal ? 500 : 5000, deadline - Date.now()))]);
    const table = tallies.render();
    process.stdout.write(`${isTerminal && height > 0 ? `\x1b[${height}A\x1b[0J` : ''}${table}\n`);
    height = table.split('\n').length;
  }
}

async function cleanUp(cleanups: readonly (() => unknown)[]): Promise<void> {
  for (const cleanup of cleanups.toReversed()) {
    try {
      await cleanup();
    } catch (error) {
      console.error(`demo: clean-up: ${(error as Error).message}`);
    }
  }
}

async function main(): Promise<number> {
  const options = readOptions();
  if (options === null) {
    console.log(usage);
    return 0;
  }
  const stopped = new Promise<void>(resolve => process.on('SIGINT', resolve).on('SIGTERM', resolve));
  const folder = mkdtempSync(join(tmpdir(), 'sidecar-demo-'));
  const cleanups: (() => unknown)[] = [];
  try {
    const { isRedirected, rate } = options;
    const mesh = await startMesh({ folder, isRedirected, requestsPerSecond: rate, cleanups });
    console.log(describe(mesh));
    const tallies = new Tallies(mesh.services);
    mesh.startTraffic(report => tallies.count(report));
    await showTallies(tallies, stopped, options.seconds);
    return tallies.succeeded ? 0 : 1;
  } finally {
    console.log('Stopping ...');
    await cleanUp(cleanups);
    if (options.keep) console.log(`Kept ${folder}`);
    else rmSync(folder, { recursive: true, force: true });
  }
}

process.exit(
  await main().catch(error => {
    console.error(`demo: ${error.message}`);
    return 1;
  }),
);
