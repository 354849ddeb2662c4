/**
 * Which packets the rules catch: in place of the proxy stand listeners on its ports that say where a connection arrived. Each set of rules
 * is applied twice and cleaned up again, beside rules of somebody else.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Exchange } from '../redirect/peer.ts';
import { addresses, type Identity, type Peer, Pod } from '../redirect/pod.ts';
import { startTool } from './namespaced-tool.ts';
import { readNamespaceState } from './namespace-state.ts';
import { namespaceObstacle } from './original.ts';

const skip = namespaceObstacle() ?? false;
const capturePorts = { outbound: 15_001, inbound: 15_006, dns: 15_053 };
/** A second server outside. */
const other = { 4: '10.88.0.3', 6: 'fd88::3' } as const;
const identities = {
  app: { uid: 1000, gid: 1000 },
  group: { uid: 1000, gid: 2000 },
  proxy: { uid: 1337, gid: 2001 },
  proxyGroup: { uid: 2001, gid: 1337 },
} as const satisfies Record<string, Identity>;

type From = keyof typeof identities | 'outside';
type Target = 'pod' | 'outside' | 'other';
/** From, to, port, and the port where it should arrive. */
type Flow = readonly [
  from: From,
  to: Target,
  port: number,
  arrives: number,
  options?: Partial<Exchange> & { readonly only?: 4 | 6 },
];

interface RuleCase {
  readonly name: string;
  readonly argv: string;
  readonly env?: { readonly [name: string]: string };
  readonly flows: readonly Flow[];
}

const { outbound, inbound, dns } = capturePorts;

const cases: readonly RuleCase[] = [
  {
    name: 'everything, with exclusions',
    argv: '-i * -b * -d 9191 -o 7001 -x 10.88.0.3/32,fd88::3/128',
    flows: [
      ['app', 'outside', 7000, outbound],
      ['app', 'outside', 7001, 7001],
      ['app', 'other', 7000, 7000],
      ['outside', 'pod', 9090, inbound],
      ['outside', 'pod', 9191, 9191],
      ['outside', 'pod', 15_008, 15_008],
      ['app', 'pod', 9090, 9090],
      ['proxy', 'outside', 7000, 7000],
      ['proxyGroup', 'outside', 7000, 7000],
      // The second half of an application's call to its own service.
      ['proxy', 'pod', 9090, inbound],
      // The rules of the uid come first, and this uid is none of the proxy's.
      ['proxyGroup', 'pod', 9090, 9090],
      // From the inbound listener to the application.
      ['proxy', 'pod', 9090, 9090, { from: '127.0.0.6', only: 4 }],
      ['proxy', 'pod', 9090, 9090, { from: '::6', only: 6 }],
    ],
  },
  {
    name: 'only what is listed',
    argv: '-b 9090 -i 10.88.0.2/32,fd88::2/128 -q 7001',
    flows: [
      ['app', 'outside', 7000, outbound],
      ['app', 'other', 7000, 7000],
      ['app', 'other', 7001, outbound],
      ['outside', 'pod', 9090, inbound],
      ['outside', 'pod', 9191, 9191],
    ],
  },
  {
    name: 'an excluded interface',
    argv: '-b * -i * -c eth0',
    flows: [
      ['app', 'outside', 7000, 7000],
      ['outside', 'pod', 9090, 9090],
      ['proxy', 'pod', 9090, inbound],
    ],
  },
  {
    name: 'an interface whose inbound traffic is outbound',
    argv: '-b * -i * -k eth0',
    flows: [
      ['outside', 'pod', 9090, outbound],
      ['app', 'outside', 7000, outbound],
    ],
  },
  {
    name: 'one group of owners',
    argv: '-b * -i *',
    env: { ISTIO_OUTBOUND_OWNER_GROUPS: '2000' },
    flows: [
      ['group', 'outside', 7000, outbound],
      ['app', 'outside', 7000, 7000],
    ],
  },
  {
    name: 'all groups of owners but one',
    argv: '-b * -i *',
    env: { ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE: '2000' },
    flows: [
      ['group', 'outside', 7000, 7000],
      ['app', 'outside', 7000, outbound],
    ],
  },
  {
    name: 'TPROXY, as far as it goes without a transparent listener',
    argv: '-b * -i * -d 9191 -m TPROXY --drop-invalid',
    flows: [
      ['app', 'outside', 7000, outbound],
      ['outside', 'pod', 9191, 9191],
      ['app', 'pod', 9090, 9090],
    ],
  },
  {
    name: 'DNS to the servers of resolv.conf',
    argv: '-b * -i * --redirect-dns',
    flows: [
      ['app', 'outside', 53, dns],
      ['app', 'outside', 53, dns, { udp: true }],
      ['app', 'other', 53, outbound],
      ['app', 'other', 53, 53, { udp: true }],
      ['proxy', 'outside', 53, 53],
      ['proxy', 'outside', 53, 53, { udp: true }],
      ['proxyGroup', 'outside', 53, 53, { udp: true }],
    ],
  },
  {
    name: 'all DNS',
    argv: '-b * -i * --redirect-dns --capture-all-dns',
    flows: [
      ['app', 'other', 53, dns],
      ['app', 'other', 53, dns, { udp: true }],
      ['proxy', 'other', 53, 53, { udp: true }],
      ['app', 'outside', 7000, outbound],
    ],
  },
];

async function startServices(pod: Pod, peers: Record<From, Peer>): Promise<void> {
  for (const version of [4, 6] as const) {
    const { any } = addresses[version];
    for (const port of [7000, 7001, 53]) await peers.outside.do({ kind: 'listen', service: 'tcp', host: any, port });
    for (const port of [9090, 9191, 15_008, outbound, inbound]) {
      await pod.app.do({ kind: 'listen', service: 'tcp', host: any, port });
    }
    // The agent's answers are told by their owner.
    const host = addresses[version].loopback;
    for (const service of ['tcp', 'udp'] as const) await peers.proxy.do({ kind: 'listen', service, host, port: dns });
    // Each address by itself, so that answers come from the one that was asked.
    for (const host of [addresses[version].outside, other[version]]) {
      await peers.outside.do({ kind: 'listen', service: 'udp', host, port: 53 });
    }
  }
}

/** Rules of somebody else, in the chains and tables that the step uses too. */
const foreignRules = `
  for i in iptables-nft ip6tables-nft; do
    $i -t nat -N FOREIGN; $i -t nat -A FOREIGN -j RETURN; $i -t nat -A OUTPUT -p tcp --dport 1 -j FOREIGN
    $i -t mangle -A PREROUTING -p tcp --dport 2 -j ACCEPT; $i -t raw -A OUTPUT -p udp --dport 3 -j ACCEPT
    $i -A INPUT -p tcp --dport 4 -j ACCEPT
  done
  nft add table inet foreign; nft add chain inet foreign c '{ type filter hook output priority 0 ; }'
  nft add rule inet foreign c tcp dport 5 accept; ip rule add fwmark 77 lookup 77`;

async function setUpPod(t: Test): Promise<{ pod: Pod; peers: Record<From, Peer> }> {
  const pod = new Pod('dual stack');
  const resolver = join('/etc/netns', `${pod.name}i`);
  mkdirSync(resolver, { recursive: true });
  writeFileSync(join(resolver, 'resolv.conf'), `nameserver ${addresses[4].outside}\nnameserver ${addresses[6].outside}\n`);
  t.teardown(async () => {
    await pod.remove();
    rmSync(resolver, { recursive: true, force: true });
  });
  pod.execOutside('ip', 'addr', 'add', `${other[4]}/24`, 'dev', 'eth0');
  pod.execOutside('ip', 'addr', 'add', `${other[6]}/64`, 'dev', 'eth0', 'nodad');
  const started = Object.entries(identities).map(([name, identity]) => [name, pod.startPeer(identity)]);
  const peers = { ...Object.fromEntries(started), outside: pod.outside } as Record<From, Peer>;
  await startServices(pod, peers);
  pod.exec('sh', '-c', foreignRules);
  return { pod, peers };
}

function addressOf(target: Target, version: 4 | 6): string {
  return target === 'other' ? other[version] : addresses[version][target];
}

async function checkFlows(t: Test, peers: Record<From, Peer>, flows: readonly Flow[]): Promise<void> {
  for (const [from, to, port, arrives, { only, ...options } = {}] of flows) {
    for (const version of only === undefined ? ([4, 6] as const) : [only]) {
      const exchange: Exchange = { host: addressOf(to, version), port, send: 'hello\n', ...options };
      const answer = await peers[from].do({ kind: 'exchange', ...exchange });
      t.match(answer, ` to ${arrives}: hello`, `${from} to ${exchange.host} port ${port}${options.udp ? ' by UDP' : ''}`);
    }
  }
}

for (const tool of ['iptables', 'nftables'] as const) {
  t.test(`what the rules of ${tool} catch`, { skip }, async t => {
    const { pod, peers } = await setUpPod(t);
    const read = (): string => readNamespaceState((...command) => pod.exec(...command));
    const runTool = startTool(t, `${pod.name}i`);
    const before = read();
    for (const { name, argv, env = {}, flows } of cases) {
      const native = tool === 'nftables' ? ['--native-nftables'] : [];
      const run = async (t: Test, ...more: string[]): Promise<void> => {
        const all = ['-u', '1337', ...argv.split(' '), ...native, ...more];
        const { code, logged } = await runTool({ argv: all, env: { ISTIO_DUAL_STACK: 'true', ...env } });
        t.equal(code, 0, ['exit code', ...more].join(' '), code === 0 ? {} : { logged });
      };
      await t.test(name, async t => {
        await run(t, '--dry-run');
        t.equal(read(), before, 'a dry run changes nothing');
        await run(t);
        const applied = read();
        t.not(applied, before, 'the rules are there');
        await checkFlows(t, peers, flows);
        await run(t);
        t.equal(read(), applied, 'a second run changes nothing');
        await run(t, '--cleanup-only');
        t.equal(read(), before, 'cleanup leaves what was there before');
      });
    }
  });
}

/** What comes from outside to port 9191 begins with a SYN-ACK that nobody asked for; resets that come back are counted. */
const strayAnswers = `
  nft add table inet stray; nft add chain inet stray out '{ type filter hook output priority 0 ; }'
  nft add chain inet stray in '{ type filter hook input priority 0 ; }'
  nft add rule inet stray out tcp dport 9191 tcp flags set 'syn|ack'
  nft add rule inet stray in tcp sport 9191 tcp flags rst counter`;

/** Packets that the first counter of a chain has seen. */
function readCounter(list: string): number {
  return Number(/counter packets (\d+)/.exec(list)?.[1]);
}

for (const tool of ['iptables', 'nftables'] as const) {
  t.test(`packets out of any connection are dropped without an answer if that is asked for, ${tool}`, { skip }, async t => {
    const pod = new Pod('IPv4');
    t.teardown(() => pod.remove());
    pod.execOutside('sh', '-c', strayAnswers);
    const runTool = startTool(t, `${pod.name}i`);
    const argv = ['-u', '1337', '-b', '*', '-d', '9191', ...(tool === 'nftables' ? ['--native-nftables'] : [])];
    const resets = (): number => readCounter(pod.execOutside('nft', 'list', 'chain', 'inet', 'stray', 'in'));
    const dropped = (): number =>
      tool === 'nftables'
        ? readCounter(pod.exec('nft', 'list', 'chain', 'inet', 'istio-proxy-mangle', 'istio-drop'))
        : readCounter(pod.exec('nft', 'list', 'chain', 'ip', 'mangle', 'ISTIO_DROP'));
    const stray = (): void => void pod.outside.do({ kind: 'exchange', host: addresses[4].pod, port: 9191, send: 'x\n' });
    const until = async (condition: () => boolean): Promise<void> => {
      while (!condition()) await new Promise(resolve => setImmediate(resolve));
    };
    t.equal((await runTool({ argv, env: {} })).code, 0);
    stray();
    await until(() => resets() > 0);
    t.pass('without the rule the kernel answers with a reset');
    t.equal((await runTool({ argv: [...argv, '--cleanup-only'], env: {} })).code, 0);
    t.equal((await runTool({ argv: [...argv, '--drop-invalid'], env: {} })).code, 0);
    const before = resets();
    stray();
    await until(() => dropped() > 0);
    t.equal(resets(), before, 'no answer');
  });
}
