/** All suites in one cluster: those of default mode, one switch, those of bare mode; a table of minutes at the end. */
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { environment, run, waitFor } from './cluster/command.ts';
import { buildSidecar } from './cluster/images.ts';
import { installIstio, type Mode } from './cluster/istio.ts';
import { bringUp, isUp, takeDown } from './cluster/lifecycle.ts';
import { repository } from './cluster/layout.ts';
import { type Suite, suites } from './suites.ts';

const folder = join(import.meta.dirname, 'suites');
const suiteTimeoutSeconds = 900;

function listSuites(prefixes: readonly string[]): Suite[] {
  const isNamed = (name: string): boolean => prefixes.some(prefix => name.startsWith(prefix));
  const wanted = suites.filter(({ name }) => prefixes.length === 0 || isNamed(name));
  if (wanted.length === 0) throw new Error(`no suite starts with ${prefixes.join(' or ')}`);
  return wanted;
}

/** What the last suite leaves ends in the background. */
async function waitForQuiet(): Promise<void> {
  const isQuiet = (): boolean => !/^namespace\/mesh-/m.test(run('kubectl', ['get', 'namespaces', '-o', 'name']));
  await waitFor('the namespaces of the last suite to be gone', isQuiet, 60_000, 1000).catch(() => null);
}

type Row = { name: string; mode: Mode; minutes: number; passed: boolean };

const minutesSince = (began: number): number => (Date.now() - began) / 60_000;

const tap = join(repository, 'node_modules/.bin/tap');

function runSuite(suite: Suite, mode: Mode): Row {
  console.log(`=== ${suite.name} (${mode} mode)`);
  const began = Date.now();
  const args = ['--disable-coverage', `--timeout=${suiteTimeoutSeconds}`, '--jobs=1', '--reporter=tap'];
  const { status } = spawnSync(tap, [...args, join(folder, `${suite.name}.test.ts`)], {
    cwd: repository,
    env: environment,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  return { name: suite.name, mode, minutes: minutesSince(began), passed: status === 0 };
}

function printTable(rows: readonly Row[], preparedMinutes: number, allMinutes: number): void {
  const print = (name: string, mode: string, minutes: number, remark = ''): void =>
    console.log(`${name.padEnd(24)}${mode.padEnd(10)}${minutes.toFixed(1).padStart(8)}${remark}`);
  console.log(`${'suite'.padEnd(24)}${'mode'.padEnd(10)}${'minutes'.padStart(8)}`);
  print('cluster and image', '', preparedMinutes);
  for (const { name, mode, minutes, passed } of rows) print(name, mode, minutes, passed ? '' : '  FAILED');
  print('all', '', allMinutes);
}

/**
 * Runs the suites whose names start with one of `prefixes`; without any, all of them. A cluster that was up already is used and stays up; with CI set
 * there is always a new one. MESH_IMAGE=keep tests the image that is in the cluster instead of a new one. Gives the exit code.
 */
export async function runSuites(prefixes: readonly string[]): Promise<number> {
  const wanted = listSuites(prefixes);
  // After a fresh installation tap runs with plugins that are not this project's until it is built.
  run(tap, ['build'], { cwd: repository });
  const began = Date.now();
  if (process.env.CI) await takeDown();
  const wasUp = isUp();
  const rows: Row[] = [];
  let prepared = 0;
  try {
    for (const mode of ['default', 'bare'] as const) {
      const inMode = wanted.filter(suite => suite.modes.includes(mode));
      if (inMode.length === 0) continue;
      if (prepared === 0) {
        await bringUp(mode);
        if (process.env.MESH_IMAGE !== 'keep') buildSidecar({ halves: wanted.some(({ name }) => name === 's-halves') });
        prepared = minutesSince(began);
      } else await installIstio(mode);
      for (const suite of inMode) {
        if (suite.needsQuiet) await waitForQuiet();
        rows.push(runSuite(suite, mode));
      }
    }
  } finally {
    if (!wasUp) await takeDown();
  }
  printTable(rows, prepared, minutesSince(began));
  return rows.every(row => row.passed) ? 0 : 1;
}
