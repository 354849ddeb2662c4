/** Runs an agent far enough to write its bootstrap and start its proxy, which is a script that notes its arguments. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse } from 'yaml';

export type Scenario = {
  readonly name: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly proxyConfig?: Readonly<Record<string, unknown>>;
  readonly arguments?: readonly string[];
  /** Addresses of the only interface; the first is INSTANCE_IP. */
  readonly addresses?: readonly string[];
  readonly labels?: string;
  readonly annotations?: string;
  /** Path to content, relative to the agent's working directory. */
  readonly files?: Readonly<Record<string, string>>;
};

export type Written = { readonly bootstrap: unknown; readonly grpcBootstrap: unknown; readonly arguments: readonly string[] };

const deadlineMs = 20_000;

/** A file of the real agent's image that it cannot do without; empty if it is nowhere. */
export function findTemplate(): string {
  const modules = process.env.GOMODCACHE ?? join(process.env.HOME ?? '/root', 'go/pkg/mod');
  const found = spawnSync('sh', [
    '-c',
    `ls -d ${modules}/istio.io/istio@*/tools/packaging/common/envoy_bootstrap.json | tail -1`,
  ]);
  return found.stdout.toString().trim();
}

/** The real agent's path; empty if there is none. */
export function findRealAgent(): string {
  const lab = join(process.env.HOME ?? '/root', '.cache/meshlab/bin/pilot-agent');
  return process.env.REAL_PILOT_AGENT ?? (existsSync(lab) ? lab : '');
}

/** Rejects if the agent ends or takes too long. */
export async function writeBootstrapWith(agent: string, template: string, scenario: Scenario): Promise<Written> {
  const directory = mkdtempSync(join(tmpdir(), 'agent-'));
  const notes = join(directory, 'arguments');
  try {
    prepareDirectory(directory, template, scenario);
    const output: string[] = [];
    const child = startAgent(agent, directory, notes, scenario, output);
    try {
      await awaitFile(notes, child, output);
    } finally {
      // The whole group: the namespace's shell, the agent and the script.
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
    }
    return {
      bootstrap: parse(readFileSync(join(directory, 'etc/istio/proxy/envoy-rev.json'), 'utf8')),
      grpcBootstrap: parse(readFileSync(join(directory, 'etc/istio/proxy/grpc-bootstrap.json'), 'utf8')),
      arguments: readFileSync(notes, 'utf8').trimEnd().split('\n'),
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

let rootCertificate: string | undefined;

/** The real agent refuses to start without a certificate that parses. */
function makeRootCertificate(): string {
  const command = 'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /dev/null -subj /CN=root -days 2';
  rootCertificate ??= spawnSync('sh', ['-c', `${command} 2>/dev/null`]).stdout.toString();
  return rootCertificate;
}

function prepareDirectory(directory: string, template: string, scenario: Scenario): void {
  for (const path of ['etc/istio/proxy', 'etc/istio/pod', 'var/lib/istio/envoy', 'var/run/secrets/istio']) {
    mkdirSync(join(directory, path), { recursive: true });
  }
  copyFileSync(template, join(directory, 'var/lib/istio/envoy/envoy_bootstrap_tmpl.json'));
  writeFileSync(join(directory, 'var/run/secrets/istio/root-cert.pem'), makeRootCertificate());
  if (scenario.labels !== undefined) writeFileSync(join(directory, 'etc/istio/pod/labels'), scenario.labels);
  if (scenario.annotations !== undefined) writeFileSync(join(directory, 'etc/istio/pod/annotations'), scenario.annotations);
  for (const [path, content] of Object.entries(scenario.files ?? {})) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), content);
  }
  const script = 'for a in "$@"; do printf "%s\\n" "$a"; done >"$NOTES.part"; mv "$NOTES.part" "$NOTES"; sleep 600';
  writeFileSync(join(directory, 'proxy'), `#!/bin/sh\n${script}\n`);
  chmodSync(join(directory, 'proxy'), 0o755);
}

function startAgent(command: string, directory: string, notes: string, scenario: Scenario, output: string[]): ChildProcess {
  const addresses = scenario.addresses ?? ['10.1.1.1'];
  const setup = addresses.map(address => `ip addr add ${address}/${address.includes(':') ? '64 nodad' : '24'} dev d0`);
  const agent = `exec ${command} proxy sidecar ${(scenario.arguments ?? []).map(text => `'${text}'`).join(' ')}`;
  const commands = [
    'ip link set lo up',
    'ip link add d0 type veth peer name d1',
    'ip link set d0 up',
    'ip link set d1 up',
    ...setup,
    agent,
  ];
  const child = spawn('unshare', ['-n', 'sh', '-ec', commands.join('\n')], {
    cwd: directory,
    detached: true,
    env: {
      PATH: `${process.env.PATH}:/usr/sbin:/sbin`,
      NOTES: notes,
      CLOUD_PLATFORM: 'none',
      INSTANCE_IP: addresses[0],
      POD_NAME: 'web-1',
      POD_NAMESPACE: 'default',
      SERVICE_ACCOUNT: 'web',
      ISTIO_META_ISTIO_VERSION: '1.31.1',
      PROXY_CONFIG: JSON.stringify({ binaryPath: './proxy', discoveryAddress: '127.0.0.1:15012', ...scenario.proxyConfig }),
      ...scenario.environment,
    },
  });
  child.stdout?.on('data', chunk => output.push(String(chunk)));
  child.stderr?.on('data', chunk => output.push(String(chunk)));
  return child;
}

async function awaitFile(path: string, child: ChildProcess, output: readonly string[]): Promise<void> {
  const deadline = Date.now() + deadlineMs;
  while (!existsSync(path)) {
    if (child.exitCode !== null || Date.now() > deadline)
      throw new Error(`the agent did not start its proxy: ${output.join('')}`);
    await sleep(20);
  }
}

/** Field names in the .proto's form, outside of maps whose keys are data; durations of Go in that of ProtoJSON. */
export function normalize(value: unknown, isData = false): unknown {
  if (Array.isArray(value)) return value.map(element => normalize(element, isData));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    // encoding/json writes the unset oneof of a node as a null member.
    Object.entries(value)
      .filter(([, member]) => member !== null)
      .map(([key, member]) => {
        const name = isData ? key : key.replace(/(?<![A-Z@.])[A-Z]/g, letter => `_${letter.toLowerCase()}`);
        return [name, normalize(member, isData || key === 'metadata' || key === 'static_layer')];
      }),
  );
}
