/** Random queries to the real pilot-agent's DNS proxy and to this project's, over the same tables: the same answers. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t from 'tap';
import { findPilotAgent, namespaceObstacle } from '../integration/iptables/original.ts';
import { fuzzPlan } from '../support/random.ts';
import { searchDomains } from './dns/dns-grammar.ts';
import { readMessage } from './dns/dns-reader.ts';

/** The same tables in every run; $FUZZ_SEED gives others, $FUZZ_COUNT more. */
const fixedSeed = 20_261_121;
const queriesPerTable = 250;
const seed = process.env.FUZZ_SEED === undefined ? fixedSeed : fuzzPlan(0).seed;
const { count: tableCount } = fuzzPlan(3);

const namespace = `dnsparity${process.pid}`;
const nameserver = '10.9.8.53';
const skip = namespaceObstacle() ?? (findPilotAgent() === null ? 'no pilot-agent (npm run mesh -- tools)' : false);

type Exchange = {
  readonly seed: number;
  readonly overTcp: boolean;
  readonly query: string;
  readonly real: string | null;
  readonly own: string | null;
};

/** What both show of their tables. */
type Tables = { readonly seed: number; readonly real: unknown; readonly own: unknown };

function run(...command: readonly string[]): void {
  const { status, stderr } = spawnSync(command[0], command.slice(1), { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command.join(' ')}: ${stderr}`);
}

/** What a client makes of an answer. */
function interpret(hex: string | null): unknown {
  if (hex === null) return 'no answer';
  try {
    const message = readMessage(Buffer.from(hex, 'hex'));
    // Which records of a shuffled answer are cut off is chance; how many is not.
    const isCut = (message.flags & 0x0200) !== 0;
    return isCut ? { ...message, sections: message.sections.map(records => records.length) } : message;
  } catch {
    return `malformed: ${hex}`;
  }
}

t.test('DNS', { skip, timeout: 300_000 }, async t => {
  t.comment(`FUZZ_SEED=${seed} FUZZ_COUNT=${tableCount}`);
  const folder = `/etc/netns/${namespace}`;
  mkdirSync(folder, { recursive: true });
  // `ip netns exec` puts it in the place of the machine's.
  writeFileSync(join(folder, 'resolv.conf'), `search ${searchDomains.join(' ')}\nnameserver ${nameserver}\noptions ndots:5\n`);
  run('ip', 'netns', 'add', namespace);
  t.teardown(() => {
    run('ip', 'netns', 'del', namespace);
    rmSync(folder, { recursive: true });
  });
  run('ip', '-n', namespace, 'link', 'set', 'lo', 'up');
  run('ip', '-n', namespace, 'addr', 'add', `${nameserver}/32`, 'dev', 'lo');
  const script = join(import.meta.dirname, 'dns/dns-ends.ts');
  const args = [nameserver, seed, tableCount, queriesPerTable].map(String);
  const child = spawn('ip', ['netns', 'exec', namespace, process.execPath, script, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill());
  const ended = once(child, 'exit');
  let answered = 0;
  let count = 0;
  for await (const line of createInterface(child.stdout)) {
    const exchange = JSON.parse(line) as Exchange | Tables;
    if (!('query' in exchange)) {
      t.same(exchange.own, exchange.real, `seed ${exchange.seed}: /debug/ndsz`);
      continue;
    }
    count++;
    const [expected, actual] = [interpret(exchange.real), interpret(exchange.own)];
    if (exchange.real !== null && Buffer.from(exchange.real, 'hex').readUInt16BE(6) > 0) answered++;
    if (JSON.stringify(expected) === JSON.stringify(actual)) continue;
    const { overTcp, query } = exchange;
    const text = Buffer.from(query, 'hex')
      .toString('latin1')
      .replaceAll(/[^\x20-\x7e]/g, '.');
    t.same(actual, expected, `seed ${exchange.seed}, ${overTcp ? 'TCP' : 'UDP'} ${query} (${text})`);
  }
  t.strictSame(await ended, [0, null]);
  t.equal(count, tableCount * queriesPerTable, 'every query was asked');
  t.ok(answered > count / 5, `${answered} answers with records`);
});
