/**
 * `npm run bench`: Envoy and this proxy on the same bootstraps, one worker and one core each, in alternation. The figure that
 * counts is CPU per request as a ratio: it does not depend on how fast this machine is.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { findEnvoy } from '../test/support/envoy-binary.ts';
import { findFreePort, ownCommand, type ProxyProcess, startProxy } from '../test/support/proxy-process.ts';
import {
  type BenchCase,
  buildClientBootstrap,
  buildProxyBootstrap,
  type Certificates,
  cases,
  plainHttpCase,
  type Ports,
} from './cases.ts';
import {
  type LoadResult,
  loadCore,
  makeCertificates,
  proxyCore,
  requirePrograms,
  runWrk,
  startUpstream,
  waitForPort,
} from './environment.ts';
import { cpuSeconds, residentMiB } from './process-cost.ts';
import { renderTable, type Sample, summarize } from './report.ts';

const usage = `npm run bench -- [options]
  --case NAME         only this case (repeatable): ${cases.map(({ name }) => name).join(', ')}
  --rounds N          alternations of Envoy and this proxy per case (5)
  --seconds N         load per round and proxy (4)
  --connections N     keep-alive connections (64)
  --json FILE         write every sample
  --built             measure the built proxy (dist/) through bin/sidecar-proxy instead of the sources`;

interface Options {
  readonly rounds: number;
  readonly seconds: number;
  readonly connections: number;
}

interface Subject {
  readonly proxy: ProxyProcess;
  readonly client: ProxyProcess | null;
  /** Where wrk connects. */
  readonly port: number;
}

type Commands = { readonly [name: string]: { readonly command: string; readonly args: readonly string[] } };

async function startSubject(benchCase: BenchCase, name: string, commands: Commands, context: Context): Promise<Subject> {
  const ports: Ports = { ...context.upstreamPorts, proxy: await findFreePort() };
  const { command, args } = commands[name];
  const proxy = await startProxy({
    name: `${benchCase.name}-${name}`,
    command: 'taskset',
    args: ['-c', String(proxyCore), command, ...args],
    bootstrap: buildProxyBootstrap(benchCase, ports, context.certificates),
    folder: context.folder,
  });
  await waitForPort(ports.proxy);
  if (benchCase.entry === 'proxy') return { proxy, client: null, port: ports.proxy };
  const port = await findFreePort();
  const client = await startProxy({
    name: `${benchCase.name}-${name}-client`,
    command: 'taskset',
    args: ['-c', String(loadCore), commands.envoy.command],
    bootstrap: buildClientBootstrap(port, ports.proxy, context.certificates),
    folder: context.folder,
  });
  return { proxy, client, port };
}

/** http-proxy-3 on the plain HTTP case: it knows no bootstrap, so it is a process of its own kind. */
async function startHttpProxy({ upstreamPorts }: Context): Promise<Subject> {
  const port = await findFreePort();
  const script = join(import.meta.dirname, 'http-proxy-reference.ts');
  const args = ['-c', String(proxyCore), process.execPath, script, String(port), String(upstreamPorts.upstreamPlain)];
  const child = spawn('taskset', args, { stdio: 'inherit' });
  const exited = new Promise<void>(resolve => child.once('exit', () => resolve()));
  await waitForPort(port);
  const stop = (): Promise<void> => {
    child.kill();
    return exited;
  };
  return { proxy: { name: 'http-proxy-3', adminPort: 0, child, log: () => '', stop }, client: null, port };
}

interface Context {
  readonly folder: string;
  readonly certificates: Certificates;
  readonly upstreamPorts: Omit<Ports, 'proxy'>;
}

async function measure(subject: Subject, name: string, options: Options): Promise<Sample> {
  const pid = subject.proxy.child.pid as number;
  const before = cpuSeconds(pid);
  const load: LoadResult = await runWrk(subject.port, options.connections, options.seconds);
  const cpu = cpuSeconds(pid) - before;
  if (load.requests === 0 || load.errors > 0) throw new Error(`${name}: ${load.requests} requests, ${load.errors} errors`);
  return {
    proxy: name,
    microsecondsPerRequest: (cpu * 1e6) / load.requests,
    requestsPerSecond: load.requests / load.seconds,
    p50Ms: load.p50Ms,
    p99Ms: load.p99Ms,
    residentMiB: residentMiB(pid),
  };
}

function startReference(name: string, benchCase: BenchCase, commands: Commands, context: Context): Promise<Subject> {
  return name === 'envoy'
    ? startSubject(benchCase, 'envoy', commands, context)
    : startSubject(plainHttpCase, 'own', commands, context);
}

async function runCase(benchCase: BenchCase, commands: Commands, context: Context, options: Options): Promise<Sample[]> {
  const reference = benchCase.istioFilters ? 'own-http1' : 'envoy';
  const names = benchCase === plainHttpCase ? [reference, 'own', 'http-proxy-3'] : [reference, 'own'];
  const subjects = new Map<string, Subject>();
  const samples: Sample[] = [];
  try {
    subjects.set(reference, await startReference(reference, benchCase, commands, context));
    subjects.set('own', await startSubject(benchCase, 'own', commands, context));
    if (benchCase === plainHttpCase) subjects.set('http-proxy-3', await startHttpProxy(context));
    for (const name of names) await runWrk((subjects.get(name) as Subject).port, options.connections, 2); // warm up
    for (let round = 0; round < options.rounds; round++) {
      for (const name of names) samples.push(await measure(subjects.get(name) as Subject, name, options));
    }
  } finally {
    for (const { proxy, client } of subjects.values()) await Promise.all([proxy.stop(), client?.stop()]);
  }
  return samples;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      case: { type: 'string', multiple: true },
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '4' },
      connections: { type: 'string', default: '64' },
      json: { type: 'string' },
      built: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return console.log(usage);
  requirePrograms('wrk', 'nginx', 'openssl', 'taskset');
  const envoy = findEnvoy();
  if (envoy === null) throw new Error('bench: no Envoy binary; npm run mesh -- tools installs one');
  const built = { command: join(import.meta.dirname, '..', 'bin', 'sidecar-proxy'), args: [] };
  const commands: Commands = { envoy: { command: envoy, args: [] }, own: values.built ? built : ownCommand() };
  const options = { rounds: Number(values.rounds), seconds: Number(values.seconds), connections: Number(values.connections) };
  const folder = mkdtempSync(join(tmpdir(), 'bench-'));
  const certificates = makeCertificates(folder);
  const upstreamPorts = { upstreamPlain: await findFreePort(), upstreamTls: await findFreePort() };
  const upstream = await startUpstream(folder, upstreamPorts.upstreamPlain, upstreamPorts.upstreamTls, certificates);
  const results: { case: string; samples: Sample[] }[] = [];
  try {
    for (const benchCase of cases.filter(({ name }) => values.case === undefined || values.case.includes(name))) {
      const samples = await runCase(benchCase, commands, { folder, certificates, upstreamPorts }, options);
      results.push({ case: benchCase.name, samples });
      console.log(renderTable(`${benchCase.name}: ${benchCase.description}`, summarize(samples)));
    }
  } finally {
    upstream.kill();
    rmSync(folder, { recursive: true, force: true });
  }
  if (values.json) writeFileSync(values.json, JSON.stringify({ options, results }, null, 1));
}

await main();
