/**
 * Images for a node without a registry: a root file system packed as one layer and imported into containerd; and this project's own,
 * built from its Dockerfile.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { run, tryRun } from './command.ts';
import { base, bin, cache, containerdSocket, images, repository, state } from './layout.ts';

const release = 'bookworm';
/** Beside what the sidecar needs: tools for looking around. */
const basePackages = ['iptables', 'nftables', 'iproute2', 'ca-certificates', 'libatomic1', 'curl', 'procps'];

const ctr = ['-a', containerdSocket, '-n', 'k8s.io'];

export function hasImage(name: string): boolean {
  return run('ctr', [...ctr, 'images', 'ls', '-q'])
    .split('\n')
    .includes(name);
}

type ImageConfig = { entrypoint: string; user?: string };

/** Packs `root` as an image of one layer, in the form that `docker save` writes. */
function importRoot(name: string, root: string, { entrypoint, user = '' }: ImageConfig): void {
  const work = mkdtempSync(join(state, 'image-'));
  try {
    const layer = join(work, 'layer.tar');
    run('tar', ['-C', root, '--numeric-owner', '-cf', layer, '.']);
    const digest = run('sha256sum', [layer]).split(' ')[0];
    const config = JSON.stringify({
      architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: [`sha256:${digest}`] },
      config: {
        Entrypoint: [entrypoint],
        User: user,
        WorkingDir: '/',
        Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      },
    });
    const configName = `${createHash('sha256').update(config).digest('hex')}.json`;
    writeFileSync(join(work, configName), config);
    writeFileSync(join(work, 'manifest.json'), JSON.stringify([{ Config: configName, RepoTags: [name], Layers: ['layer.tar'] }]));
    run('tar', ['-C', work, '-cf', join(work, 'image.tar'), configName, 'manifest.json', 'layer.tar']);
    importArchive(join(work, 'image.tar'));
  } finally {
    rmSync(work, { recursive: true });
  }
}

function importArchive(path: string): void {
  run('ctr', [...ctr, 'images', 'import', path]);
}

/** A Debian root file system, made once. */
function makeBase(): void {
  if (!existsSync(join(base, 'etc/debian_version'))) {
    console.log(`making a Debian ${release} base (about 20 s)`);
    run('debootstrap', ['--variant=minbase', `--include=${basePackages.join(',')}`, release, base]);
  } else if (tryRun('chroot', [base, 'dpkg', '-s', 'libatomic1']).code !== 0) {
    run('chroot', [base, 'sh', '-c', 'apt-get update -qq && apt-get install -y -qq libatomic1']);
  }
}

/** Makes a root file system with `fill`, imports it, removes it. */
function importMade(name: string, config: ImageConfig, fill: (root: string) => void): void {
  const root = mkdtempSync(join(state, 'root-'));
  try {
    run('chmod', ['755', root]);
    fill(root);
    importRoot(name, root, config);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

function install(root: string, binary: string, as: string): void {
  mkdirSync(join(root, as, '..'), { recursive: true });
  cpSync(realpathSync(join(bin, binary)), join(root, as));
}

export function importPause(): void {
  importMade(images.pause, { entrypoint: '/pause' }, root => install(root, 'pause', 'pause'));
}

/** Images of the control plane and of the test applications; nothing is made twice. */
export function importSupport(): void {
  makeBase();
  if (!hasImage(images.pilot)) {
    importMade(images.pilot, { entrypoint: '/usr/local/bin/pilot-discovery', user: '1337' }, root => {
      install(root, 'pilot-discovery', 'usr/local/bin/pilot-discovery');
      mkdirSync(join(root, 'tmp'));
      run('chmod', ['1777', join(root, 'tmp')]);
      mkdirSync(join(root, 'var/run'), { recursive: true });
      cpSync(join(base, 'etc/ssl'), join(root, 'etc/ssl'), { recursive: true, verbatimSymlinks: true });
    });
  }
  if (!hasImage(images.echo)) importEcho();
  if (!hasImage(images.envoy)) importEnvoy();
}

/** The application of the tests: Istio's echo server and client, and fortio. */
export function importEcho(): void {
  importMade(images.echo, { entrypoint: '/usr/local/bin/server' }, root => {
    install(root, 'echo-server', 'usr/local/bin/server');
    install(root, 'echo-client', 'usr/local/bin/client');
    install(root, 'fortio', 'usr/local/bin/fortio');
  });
}

function bootstrapTemplate(): string {
  const folder = run('go', ['list', '-m', '-f', '{{.Dir}}', 'istio.io/istio'], {
    cwd: join(cache, 'go/istio'),
    env: { GOFLAGS: '-mod=mod' },
  }).trim();
  return join(folder, 'tools/packaging/common/envoy_bootstrap.json');
}

/** Base with the folders that the real pilot-agent wants, and its template. */
function prepareSidecarRoot(root: string): void {
  run('cp', ['-a', `${base}/.`, root]);
  for (const folder of ['var/lib/istio/envoy', 'etc/istio/proxy']) mkdirSync(join(root, folder), { recursive: true });
  cpSync(bootstrapTemplate(), join(root, 'var/lib/istio/envoy/envoy_bootstrap_tmpl.json'));
  run('chmod', ['644', join(root, 'var/lib/istio/envoy/envoy_bootstrap_tmpl.json')]);
}

const agentEntry = { entrypoint: '/usr/local/bin/pilot-agent', user: '1337' };

function importEnvoy(): void {
  importMade(images.envoy, agentEntry, root => {
    prepareSidecarRoot(root);
    install(root, 'pilot-agent', 'usr/local/bin/pilot-agent');
    install(root, 'envoy', 'usr/local/bin/envoy');
  });
}

const buildah = ['--storage-driver', 'vfs', '--root', join(cache, 'buildah'), '--runroot', join(cache, 'buildah-run')];

function importIntoBuildah(name: string, fill: (root: string) => void): void {
  const container = run('buildah', [...buildah, 'from', 'scratch']).trim();
  try {
    fill(run('buildah', [...buildah, 'mount', container]).trim());
    run('buildah', [...buildah, 'commit', '-q', container, name]);
  } finally {
    tryRun('buildah', [...buildah, 'rm', container]);
  }
}

function hasBuildImage(name: string): boolean {
  return tryRun('buildah', [...buildah, 'inspect', '--type', 'image', name]).code === 0;
}

const baseImage = 'localhost/sidecar-base:dev';
const nodeImage = 'localhost/sidecar-node:dev';

/** Builds this project's image from its Dockerfile and brings it into the node; `halves`: also those with one real part. */
export function buildSidecar({ halves = false } = {}): void {
  makeBase();
  if (!hasBuildImage(baseImage)) {
    console.log('importing the base image');
    importIntoBuildah(baseImage, root => void run('cp', ['-a', `${base}/.`, root]));
  }
  if (!hasBuildImage(nodeImage)) {
    console.log("making the build image: the base with this machine's Node and npm");
    importIntoBuildah(nodeImage, root => {
      run('cp', ['-a', `${base}/.`, root]);
      installNpm(root);
    });
  }
  // Of a build that was cut off.
  tryRun('buildah', [...buildah, 'rm', '--all']);
  const began = Date.now();
  const file = [
    '-f',
    join(repository, 'Dockerfile'),
    '--build-arg',
    `BASE=${baseImage}`,
    '--build-arg',
    `BUILD_BASE=${nodeImage}`,
  ];
  run('buildah', [...buildah, 'bud', '--isolation', 'chroot', ...file, '-t', images.sidecar, repository], { show: true });
  const archive = join(state, 'sidecar.tar');
  rmSync(archive, { force: true });
  run('buildah', [...buildah, 'push', '-q', images.sidecar, `docker-archive:${archive}:${images.sidecar}`]);
  importArchive(archive);
  console.log(`${images.sidecar}: ${Math.round((Date.now() - began) / 1000)} s`);
  rmSync(archive, { force: true });
  if (halves) importHalves();
  // What earlier builds were made of.
  tryRun('buildah', [...buildah, 'rmi', '--prune']);
}

/** npm and the Node that runs it, at the paths of this machine. */
function installNpm(root: string): void {
  const npm = realpathSync(run('sh', ['-c', 'command -v npm']).trim());
  const npmFolder = join(npm, '../..');
  mkdirSync(join(root, npmFolder), { recursive: true });
  run('cp', ['-a', `${npmFolder}/.`, join(root, npmFolder)]);
  cpSync(realpathSync(process.execPath), join(root, 'usr/local/bin/node'));
  run('ln', ['-sf', npm, join(root, 'usr/local/bin/npm')]);
  // Where the way to the registry leads through a proxy with a certificate of its own, only this machine's authorities vouch for it.
  cpSync('/etc/ssl/certs/ca-certificates.crt', join(root, 'etc/ssl/certs/ca-certificates.crt'));
  mkdirSync(join(root, 'usr/local/etc'), { recursive: true });
  writeFileSync(join(root, 'usr/local/etc/npmrc'), 'cafile=/etc/ssl/certs/ca-certificates.crt\n');
}

/** The project's image with one of its programs replaced by the real one. */
function importHalves(): void {
  const container = run('buildah', [...buildah, 'from', '--pull-never', images.sidecar]).trim();
  try {
    const root = run('buildah', [...buildah, 'mount', container]).trim();
    importMade(images.halfProxy, agentEntry, made => {
      run('cp', ['-a', `${root}/.`, made]);
      rmSync(join(made, 'usr/local/bin/pilot-agent'));
      install(made, 'pilot-agent', 'usr/local/bin/pilot-agent');
      mkdirSync(join(made, 'var/lib/istio/envoy'), { recursive: true });
      cpSync(bootstrapTemplate(), join(made, 'var/lib/istio/envoy/envoy_bootstrap_tmpl.json'));
      run('chmod', ['644', join(made, 'var/lib/istio/envoy/envoy_bootstrap_tmpl.json')]);
    });
    importMade(images.halfAgent, agentEntry, made => {
      run('cp', ['-a', `${root}/.`, made]);
      rmSync(join(made, 'usr/local/bin/envoy'));
      install(made, 'envoy', 'usr/local/bin/envoy');
    });
  } finally {
    tryRun('buildah', [...buildah, 'rm', container]);
  }
}
