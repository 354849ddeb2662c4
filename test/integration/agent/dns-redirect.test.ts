/** Applications of a pod whose DNS is captured: glibc's resolver asks the cluster's nameserver and is answered by the agent. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { namespaceObstacle } from '../iptables/original.ts';

const root = join(import.meta.dirname, '../../..');
const skip = namespaceObstacle() ?? false;
const namespace = `agentdns${process.pid}`;
const nameserver = '10.9.9.53';
/** Nobody listens there. */
const deadNameserver = '10.9.9.54';
const proxyUserId = 1337;
const template = '-p 15001 -z 15006 -u 1337 -m REDIRECT -i * -x  -b * -d 15090,15021,15020'.split(' ');

type Tap = { teardown(handler: () => unknown): void };

function run(...command: readonly string[]): { readonly status: number | null; readonly output: string } {
  const { status, stdout, stderr } = spawnSync(command[0], command.slice(1), {
    encoding: 'utf8',
    env: { PATH: process.env.PATH, ISTIO_META_DNS_CAPTURE: 'true' },
  });
  return { status, output: stdout + stderr };
}

function succeed(...command: readonly string[]): void {
  const { status, output } = run(...command);
  if (status !== 0) throw new Error(`${command.join(' ')}: ${output}`);
}

/** `ip netns exec` puts the resolv.conf of this folder in the place of the machine's. */
function makePod(t: Tap): void {
  const folder = `/etc/netns/${namespace}`;
  mkdirSync(folder, { recursive: true });
  const search = 'n.svc.cluster.local svc.cluster.local cluster.local';
  writeFileSync(
    join(folder, 'resolv.conf'),
    `search ${search}\nnameserver ${nameserver}\nnameserver ${deadNameserver}\noptions ndots:5\n`,
  );
  succeed('ip', 'netns', 'add', namespace);
  t.teardown(() => {
    run('ip', 'netns', 'del', namespace);
    rmSync(folder, { recursive: true });
  });
  succeed('ip', '-n', namespace, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'node');
  for (const device of ['lo', 'eth0', 'node']) succeed('ip', '-n', namespace, 'link', 'set', device, 'up');
  for (const address of ['10.9.9.9/24', `${nameserver}/32`])
    succeed('ip', '-n', namespace, 'addr', 'add', address, 'dev', 'eth0');
  succeed('ip', 'netns', 'exec', namespace, process.execPath, join(root, 'iptables/main.ts'), ...template);
}

async function startPeer(t: Tap, ...argv: readonly string[]): Promise<ChildProcess> {
  const script = join(import.meta.dirname, 'dns-peer.ts');
  const child = spawn('ip', ['netns', 'exec', namespace, process.execPath, script, ...argv], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { PATH: process.env.PATH },
  });
  t.teardown(() => child.stdin?.end());
  await Promise.race([once(child.stdout as NodeJS.EventEmitter, 'data'), once(child, 'exit')]);
  if (child.exitCode !== null) throw new Error(`${argv[0]} ended with ${child.exitCode}`);
  return child;
}

/** What an application sees: the addresses of a name by glibc's resolver, sorted; its exit code if there are none. */
function lookUp(database: 'ahostsv4' | 'ahostsv6', name: string, options = 'attempts:2'): readonly string[] | number | null {
  const asApplication = ['setpriv', '--reuid=1000', '--regid=1000', '--clear-groups', 'env', `RES_OPTIONS=${options}`];
  const { status, output } = run('ip', 'netns', 'exec', namespace, ...asApplication, 'getent', database, name);
  if (status !== 0) return status;
  const addresses = output.split('\n').flatMap(line => (line.includes('STREAM') ? [line.split(' ')[0]] : []));
  return [...new Set(addresses)].toSorted();
}

/** What `dig` prints to an application. */
function dig(...args: readonly string[]): string {
  const asApplication = ['setpriv', '--reuid=1000', '--regid=1000', '--clear-groups'];
  const { output } = run(
    'ip',
    'netns',
    'exec',
    namespace,
    ...asApplication,
    'dig',
    `@${nameserver}`,
    '+time=2',
    '+tries=2',
    ...args,
  );
  return output;
}

const skipDig = spawnSync('dig', ['-v']).error !== undefined && 'no dig (Debian: bind9-dnsutils)';

t.test('captured DNS', { skip }, async t => {
  makePod(t);
  await startPeer(t, 'upstream', nameserver);
  const server = await startPeer(t, 'server', String(proxyUserId));
  const notFound = 2;

  await t.test('glibc finds services by every form of their names, through its search domains', async t => {
    for (const name of ['web', 'web.n', 'web.n.svc', 'web.n.svc.cluster.local', 'WEB.n.svc.cluster.local.']) {
      t.strictSame(lookUp('ahostsv4', name), ['10.0.0.1'], name);
    }
    t.strictSame(lookUp('ahostsv6', 'web'), ['fd00::1']);
    t.strictSame(lookUp('ahostsv4', 'web.other'), ['10.0.0.2']);
    t.strictSame(lookUp('ahostsv4', 'external.com'), ['240.240.0.1']);
    t.strictSame(lookUp('ahostsv4', 'a.b.wild.com'), ['240.240.0.2']);
  });

  await t.test('an answer that is too long for UDP comes whole over TCP', async t => {
    t.equal((lookUp('ahostsv4', 'headless') as readonly string[]).length, 60);
  });

  await t.test('dig gets answers by UDP, TCP and EDNS, cut where they do not fit', { skip: skipDig }, async t => {
    t.equal(dig('+short', 'web.n.svc.cluster.local'), '10.0.0.1\n');
    t.equal(dig('+short', '+tcp', 'web.n.svc.cluster.local', 'AAAA'), 'fd00::1\n');
    t.match(dig('web.n.svc.cluster.local'), /;; flags: qr aa rd[^;]*; QUERY: 1, ANSWER: 1,/);
    t.match(dig('web.n.svc.cluster.local', 'MX'), /status: NXDOMAIN/, 'other types are asked of the nameserver');
    t.match(dig('nobody.n.svc.cluster.local'), /status: NXDOMAIN/);
    const long = 'headless.n.svc.cluster.local';
    t.match(dig('+noedns', '+ignore', long), /;; flags: qr aa tc/, 'cut for 512 bytes');
    t.equal(dig('+short', '+noedns', long).trim().split('\n').length, 60, 'and whole by TCP');
    t.match(dig('+bufsize=4096', '+ignore', long), /ANSWER: 60,/, 'EDNS has room for it');
  });

  await t.test('other names come from the nameserver that answers, and unknown ones are unknown', async t => {
    // The order of nameservers is random each time: the dead one is met.
    for (let i = 0; i < 8; i++) t.strictSame(lookUp('ahostsv4', 'outside.org.'), ['9.9.9.9']);
    t.equal(lookUp('ahostsv4', 'nobody.org'), notFound);
  });

  await t.test("names of the mesh are the agent's alone: without it there is no answer", async t => {
    server.kill('SIGKILL');
    await once(server, 'exit');
    t.equal(lookUp('ahostsv4', 'web.n.svc.cluster.local.', 'timeout:1 attempts:1'), notFound);
  });
});
