/** The agent as a process of its own, over a proxy that only sleeps and leaves its process id. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { CertificateAuthority } from '../../../demo/certificate-authority.ts';
import { findFreePort } from '../../support/proxy-process.ts';
import { waitFor } from '../wait.ts';

/** Of an agent on a busy machine. */
const startTimeoutMs = 60_000;
const ownAgent = [process.execPath, join(import.meta.dirname, '../../../agent/main.ts')] as const;

/** Signs what the agents of this file trust. */
export const meshAuthority = await CertificateAuthority.create();

type Tap = { teardown(handler: () => void): void };
export type AgentSetup = {
  readonly variables?: Record<string, string>;
  readonly config?: Record<string, unknown>;
  readonly args?: readonly string[];
  /** The program and what precedes `proxy`; this project's agent unless given. */
  readonly command?: readonly [string, ...string[]];
  /** Path to content, relative to the agent's working directory; they replace what is there by default. */
  readonly files?: Readonly<Record<string, string>>;
  /** Makes what is more than files, in that directory. */
  readonly prepare?: (folder: string) => void | Promise<void>;
};

export type AgentProcess = {
  readonly child: ChildProcess;
  readonly folder: string;
  readonly statusPort: number;
  log(): string;
  exitCode(): Promise<number | null>;
  wasStarted(): boolean;
  proxyPid(): Promise<number>;
  /** Resolves when the status port answers. */
  serving(): Promise<void>;
};

/** Starts an agent; by default nobody is at istiod's address. */
export async function startAgent(
  t: Tap,
  { variables = {}, config = {}, args = [], files = {}, prepare, command = ownAgent }: AgentSetup = {},
): Promise<AgentProcess> {
  // The path of a Unix socket has at most 107 bytes.
  const folder = mkdtempSync(join(tmpdir(), 'agent-'));
  const proxy = `#!/bin/sh\necho $$ > ${folder}/pid\nexec sleep 600\n`;
  const token = './var/run/secrets/tokens/istio-token';
  for (const [path, content] of Object.entries({
    'root.pem': meshAuthority.rootCertificate,
    proxy,
    [token]: 'token',
    ...files,
  })) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  chmodSync(join(folder, 'proxy'), 0o755);
  await prepare?.(folder);
  const proxyConfig = {
    discoveryAddress: `127.0.0.1:${await findFreePort()}`,
    binaryPath: join(folder, 'proxy'),
    statusPort: await findFreePort(),
    proxyAdminPort: await findFreePort(),
    terminationDrainDuration: '60s',
    ...config,
  };
  const child = spawn(command[0], [...command.slice(1), 'proxy', 'sidecar', ...args], {
    cwd: folder,
    env: {
      PATH: process.env.PATH,
      PROXY_CONFIG: JSON.stringify(proxyConfig),
      XDS_ROOT_CA: join(folder, 'root.pem'),
      CA_ROOT_CA: join(folder, 'root.pem'),
      CLOUD_PLATFORM: 'none',
      INSTANCE_IP: '127.0.0.1',
      ECC_SIGNATURE_ALGORITHM: 'ECDSA',
      ...variables,
    },
  });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', chunk => {
      log += chunk;
    });
  }
  const closed = once(child, 'close') as Promise<[number | null]>;
  t.teardown(async () => {
    child.kill('SIGKILL');
    await closed;
    rmSync(folder, { recursive: true });
  });
  const pidFile = join(folder, 'pid');
  return {
    child,
    folder,
    statusPort: proxyConfig.statusPort,
    log: () => log,
    exitCode: async () => (await closed)[0],
    wasStarted: () => existsSync(pidFile),
    async proxyPid() {
      await waitFor(() => existsSync(pidFile) && readFileSync(pidFile, 'utf8').trim() !== '', startTimeoutMs);
      return Number(readFileSync(pidFile, 'utf8'));
    },
    serving() {
      const url = `http://127.0.0.1:${proxyConfig.statusPort}/healthz/ready`;
      const answers = (): Promise<boolean> =>
        fetch(url).then(
          () => true,
          () => false,
        );
      return waitFor(answers, startTimeoutMs);
    },
  };
}
