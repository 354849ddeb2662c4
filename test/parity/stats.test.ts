/** The same traffic through Envoy and this proxy: the same statistics exist, the same were used, and they have the same values. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { findEnvoy } from '../support/envoy-binary.ts';
import { getAdmin, ownCommand, startProxy } from '../support/proxy-process.ts';
import { buildStatsBootstrap, findStatsPorts, issueIdentities, type StatsIdentities } from './stats-bootstrap.ts';
import { statsDifferences } from './stats-differences.ts';
import { driveTraffic, startTargets } from './stats-traffic.ts';

type Statistics = ReadonlyMap<string, string>;

interface Outcome {
  readonly all: Statistics;
  readonly used: Statistics;
  /** Name and labels of every series, and its type. */
  readonly series: Statistics;
}

const flushMs = 600;

function parseLines(text: string): Statistics {
  const pairs = text
    .trim()
    .split('\n')
    .map(line => /^(.*?): (.*)$/.exec(line))
    .filter(match => match !== null);
  return new Map(pairs.map(([, name, value]) => [name, value]));
}

function parseSeries(text: string): Statistics {
  const series = new Map<string, string>();
  let type = '';
  for (const line of text.trim().split('\n')) {
    const declared = /^# TYPE \S+ (\S+)$/.exec(line);
    if (declared !== null) type = declared[1];
    else series.set(line.slice(0, line.lastIndexOf(' ')), type);
  }
  return series;
}

async function observe(
  command: string,
  args: readonly string[],
  identities: StatsIdentities,
  deferred: boolean,
): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'stats-parity-'));
  const ports = await findStatsPorts();
  const targets = await startTargets(ports);
  const bootstrap = buildStatsBootstrap(ports, identities, deferred);
  const proxy = await startProxy({ name: 'proxy', command, args, bootstrap, folder });
  try {
    await driveTraffic(ports, identities);
    await wait(flushMs); // histograms of Envoy show what the last flush took
    const read = async (path: string): Promise<string> => {
      let text = await getAdmin(proxy.adminPort, path);
      for (const [at, port] of Object.entries(ports)) text = text.replaceAll(`127.0.0.1_${port}`, at);
      return text;
    };
    return {
      all: parseLines(await read('/stats')),
      used: parseLines(await read('/stats?usedonly')),
      series: parseSeries(await read('/stats/prometheus')),
    };
  } finally {
    await proxy.stop();
    targets.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

const isExcused = (name: string, valueOnly: boolean) =>
  statsDifferences.some(({ pattern, valueOnly: onlyValue }) => pattern.test(name) && (valueOnly || !onlyValue));

const namesOf = (statistics: Statistics) => [...statistics.keys()].filter(name => !isExcused(name, false)).sort();

/** Quantiles depend on the machine's speed: of a histogram only its use is compared. */
const valuesOf = (statistics: Statistics) =>
  Object.fromEntries(
    [...statistics]
      .filter(([name]) => !isExcused(name, true))
      .map(([name, value]) => [name, value.startsWith('P0(') ? 'histogram' : value])
      .sort(),
  );

/** A series by the statistic it is made of would need the tag rules: the excused ones are told by their exposed names. */
const excusedSeries =
  /^envoy_(server|filesystem|runtime)_|_(admin|async_client)[_{"]|="(admin|async-client)"|_(cds|lds)_|listener_ssl_curves|_ssl_(sigalgs|ciphers)/;
const seriesOf = (series: Statistics) =>
  Object.fromEntries([...series].filter(([name]) => !excusedSeries.test(name)).sort(([a], [b]) => (a < b ? -1 : 1)));

const envoy = findEnvoy();
const options = { skip: envoy === null && 'no Envoy binary (npm run mesh -- tools)', timeout: 120_000 };

async function compare(t: Test, deferred: boolean): Promise<void> {
  const identities = await issueIdentities();
  const expected = await observe(envoy as string, [], identities, deferred);
  const { command, args } = ownCommand();
  const actual = await observe(command, args, identities, deferred);
  t.same(namesOf(actual.all), namesOf(expected.all), 'the same names exist');
  t.same(namesOf(actual.used), namesOf(expected.used), 'the same ones were used');
  t.same(valuesOf(actual.used), valuesOf(expected.used), 'their values are the same');
  t.same(seriesOf(actual.series), seriesOf(expected.series), 'Prometheus sees the same series, labels and types');
}

t.test('statistics are those of Envoy', options, t => compare(t, false));
t.test('with deferred creation, statistics of traffic appear with the first of it', options, t => compare(t, true));
