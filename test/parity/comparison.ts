/** Runs cases through Envoy and through this proxy and compares what both ends saw. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Test } from 'tap';
import { findEnvoy } from '../support/envoy-binary.ts';
import { getAdmin, ownCommand, type ProxyProcess, startProxy } from '../support/proxy-process.ts';
import { buildBootstrap, type Lane, laneName, probeListener } from './bootstrap.ts';
import { Exchange, normalize, readLog, type Seen } from './exchange.ts';
import type { Outcome, ParityCase } from './parity-case.ts';
import { Probe } from './probe.ts';

const lanesAtOnce = 24;
/** A machine that stalls can turn any order of events round: what differs is run again, and counts if it differs every time. */
const repetitions = 2;
const repeatedLanesAtOnce = 4;

interface Run {
  readonly outcomes: readonly Outcome[];
  /** The proxy was alive after the last case. */
  readonly survived: boolean;
}

/** Ports by listener name: the proxies choose them. */
export async function readListenerPorts(proxy: ProxyProcess): Promise<Map<string, number>> {
  const { listener_statuses: statuses } = JSON.parse(await getAdmin(proxy.adminPort, '/listeners?format=json'));
  return new Map(
    statuses.map((status: { name: string; local_address: { socket_address: { port_value: number } } }) => [
      status.name,
      status.local_address.socket_address.port_value,
    ]),
  );
}

/** The ends of one case on one proxy. */
export interface CaseExchange {
  openLane(logPath: string): Promise<Lane>;
  run(listenerPort: number, probe: Probe): Promise<Seen>;
  close(): void;
}

interface NamedCase {
  readonly name: string;
  readonly differs?: string;
  readonly stats?: RegExp;
}

/** Bytes differ with the digits of times in headers; what Node.js does not tell of TLS, and OpenSSL's own preferences, cannot be alike. */
const comparedCounters = /^(?!.*(_bytes_total|_bytes_buffered): |.*\.ssl\.(sigalgs|ciphers|curves)\.)/;

/** Those of each lane that are not zero and that its case does not leave out. */
async function readCounters(proxy: ProxyProcess, cases: readonly NamedCase[]): Promise<string[][]> {
  const lines = (await getAdmin(proxy.adminPort, '/stats?type=Counters&usedonly')).split('\n');
  return cases.map(({ stats }, index) => {
    const ofLane = new RegExp(`\\b${laneName(index)}\\b`);
    const own = lines.filter(line => ofLane.test(line) && !/: 0$/.test(line) && (stats ?? comparedCounters).test(line));
    return own.map(line => line.replace(ofLane, '$lane')).sort();
  });
}

async function runAll<C extends NamedCase>(
  name: string,
  command: { command: string; args?: string[] },
  cases: readonly C[],
  open: (parityCase: C) => CaseExchange,
  folder: string,
  atOnce = lanesAtOnce,
): Promise<Run> {
  const exchanges = cases.map(open);
  const lanes = await Promise.all(exchanges.map((exchange, index) => exchange.openLane(join(folder, `${name}-${index}.log`))));
  const seen: Seen[] = [];
  let counters: string[][] = [];
  let proxy: ProxyProcess | null = null;
  let survived = false;
  try {
    proxy = await startProxy({ name, ...command, bootstrap: buildBootstrap(lanes), folder });
    const ports = await readListenerPorts(proxy);
    const probe = new Probe(ports.get(probeListener) as number);
    for (let from = 0; from < exchanges.length; from += atOnce) {
      const batch = exchanges.slice(from, from + atOnce);
      const run = (exchange: CaseExchange, index: number) => exchange.run(ports.get(laneName(from + index)) as number, probe);
      seen.push(...(await Promise.all(batch.map(run))));
    }
    // The clients are gone: what they leave behind is logged before the proxy is told to end.
    await probe.rest({ count: 0 }, 100);
    counters = await readCounters(proxy, cases);
    survived = proxy.child.exitCode === null;
    probe.close();
  } finally {
    await proxy?.stop();
    for (const exchange of exchanges) exchange.close();
  }
  return {
    outcomes: seen.map((outcome, index) => normalize({ ...outcome, log: readLog(lanes[index]), stats: counters[index] })),
    survived,
  };
}

/** One subtest; `PARITY_CASE` selects cases by a part of their name. */
export function compareWithEnvoy(t: Test, title: string, cases: readonly ParityCase[]): void {
  compareExchanges(t, title, cases, parityCase => new Exchange(parityCase));
}

/** The same for cases whose ends are others: `open` makes them, once for each proxy. */
export function compareExchanges<C extends NamedCase>(
  t: Test,
  title: string,
  cases: readonly C[],
  open: (parityCase: C) => CaseExchange,
): void {
  const envoy = findEnvoy();
  const options = { skip: envoy === null && 'no Envoy binary (npm run mesh -- tools)', timeout: 300_000 };
  t.test(title, options, async t => {
    const folder = mkdtempSync(join(tmpdir(), 'parity-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const selected = cases.filter(({ name }) => name.includes(process.env.PARITY_CASE ?? ''));
    const run = async (cases: readonly C[], name: string, atOnce: number) => {
      const expected = await runAll(`envoy${name}`, { command: envoy as string }, cases, open, folder, atOnce);
      const actual = await runAll(`own${name}`, ownCommand(), cases, open, folder, atOnce);
      t.ok(actual.survived, 'the proxy survived');
      return { expected: expected.outcomes, actual: actual.outcomes };
    };
    let pending: readonly C[] = selected;
    for (let repetition = 0; pending.length > 0; repetition++) {
      const { expected, actual } = await run(pending, `-${repetition}`, repetition === 0 ? lanesAtOnce : repeatedLanesAtOnce);
      const isLast = repetition === repetitions;
      const again = pending.filter((parityCase, index) => {
        const { name, differs } = parityCase;
        if (differs !== undefined) t.notSame(actual[index], expected[index], `${name} (differs on purpose: ${differs})`);
        else if (isLast || isDeepStrictEqual(actual[index], expected[index])) t.same(actual[index], expected[index], name);
        else return true;
        return false;
      });
      if (again.length > 0) t.comment(`run again: ${again.map(({ name }) => name).join('; ')}`);
      pending = again;
    }
  });
}
