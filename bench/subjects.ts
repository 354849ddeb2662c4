/** The proxies of a case, each with what leads the load to it. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { findFreePort, type ProxyProcess, startProxy } from '../test/support/proxy-process.ts';
import { buildClientBootstrap, buildProxyBootstrap, type Certificates, type Ports, type UpstreamPorts } from './bootstraps.ts';
import { type BenchCase, plainHttpCase } from './cases.ts';
import { loadCore, proxyCore, waitForPort } from './environment.ts';

export interface Subject {
  readonly name: string;
  /** The measured process. */
  readonly pid: number;
  readonly adminPort: number;
  /** Where the load connects. */
  readonly port: number;
  stop(): Promise<void>;
}

export interface Command {
  readonly command: string;
  readonly args: readonly string[];
}

export interface Context {
  readonly folder: string;
  readonly certificates: { readonly [keyType in 'P-256' | 'RSA-2048']: Certificates };
  readonly upstreamPorts: UpstreamPorts;
  readonly commands: { readonly [name: string]: Command };
}

/** What Node users know, none of which reads a bootstrap; by the script that runs it and the case it is shown with. */
const references: readonly { readonly name: string; readonly caseName: string; readonly script: string }[] = [
  { name: 'http-proxy', caseName: plainHttpCase.name, script: 'http-proxy-reference.ts' },
  { name: 'http-proxy-3', caseName: plainHttpCase.name, script: 'http-proxy-reference.ts' },
  { name: 'tcp-relay', caseName: 'tcp', script: 'tcp-relay-reference.ts' },
];

/** Which proxies a case compares; the first one is the reference. */
export function namesOf(benchCase: BenchCase, commands: Context['commands']): string[] {
  const builds = Object.keys(commands).filter(name => name !== 'envoy');
  if (benchCase.comparedWithItself) return [plainHttpCase.name, ...builds];
  const others = references.filter(({ caseName }) => caseName === benchCase.name).map(({ name }) => name);
  return ['envoy', ...builds, ...others];
}

export function startSubject(benchCase: BenchCase, name: string, context: Context): Promise<Subject> {
  const reference = references.find(candidate => candidate.name === name);
  if (reference !== undefined) return startReference(name, reference.script, context);
  if (name === plainHttpCase.name) return startConfigured(plainHttpCase, name, context.commands.own, context);
  return startConfigured(benchCase, name, context.commands[name], context);
}

let started = 0;

async function startConfigured(benchCase: BenchCase, name: string, command: Command, context: Context): Promise<Subject> {
  const { folder, upstreamPorts } = context;
  const certificates = context.certificates[benchCase.keyType ?? 'P-256'];
  const ports: Ports = { upstream: upstreamPorts, proxy: await findFreePort() };
  const label = `${benchCase.name}-${name}-${started++}`;
  const proxy = await startProxy({
    name: label,
    command: 'taskset',
    args: ['-c', String(proxyCore), command.command, ...command.args],
    bootstrap: buildProxyBootstrap(benchCase, ports, certificates, folder),
    folder,
    concurrency: benchCase.workers ?? 1,
  });
  await waitForPort(ports.proxy);
  const client = benchCase.entry === 'mutual-tls' ? await startClient(benchCase, label, ports.proxy, context) : null;
  return {
    name,
    pid: proxy.child.pid as number,
    adminPort: proxy.adminPort,
    port: client === null ? ports.proxy : client.port,
    stop: async () => {
      await Promise.all([proxy.stop(), client?.process.stop()]);
    },
  };
}

/** An Envoy in front, on the core of the load. */
async function startClient(
  benchCase: BenchCase,
  label: string,
  proxyPort: number,
  { folder, certificates, commands }: Context,
): Promise<{ port: number; process: ProxyProcess }> {
  const port = await findFreePort();
  const process = await startProxy({
    name: `${label}-client`,
    command: 'taskset',
    args: ['-c', String(loadCore), commands.envoy.command],
    bootstrap: buildClientBootstrap(benchCase, port, proxyPort, certificates['P-256']),
    folder,
  });
  return { port, process };
}

async function startReference(name: string, file: string, { upstreamPorts }: Context): Promise<Subject> {
  const port = await findFreePort();
  const script = join(import.meta.dirname, file);
  const node = [process.execPath, '--no-deprecation', script, name];
  const args = ['-c', String(proxyCore), ...node, String(port), String(upstreamPorts.plain)];
  const child = spawn('taskset', args, { stdio: 'inherit' });
  const exited = new Promise<void>(resolve => child.once('exit', () => resolve()));
  await waitForPort(port);
  return {
    name,
    pid: child.pid as number,
    adminPort: 0,
    port,
    stop: () => {
      child.kill();
      return exited;
    },
  };
}
