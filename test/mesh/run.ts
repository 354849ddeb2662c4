/** All suites in one cluster: those of default mode, one switch, those of bare mode; a table of minutes at the end. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { environment } from './cluster/command.ts';
import { buildSidecar } from './cluster/images.ts';
import { installIstio, type Mode } from './cluster/istio.ts';
import { bringUp, isUp, takeDown } from './cluster/lifecycle.ts';
import { repository } from './cluster/layout.ts';

type Suite = { readonly name: string; readonly modes: readonly Mode[] };

/** Suites that compare with Envoy need bare mode; those of Istio's own filters need default mode. */
const modesOf: Readonly<Record<string, readonly Mode[]>> = {
  'b-traffic': ['default', 'bare'],
  'c-istioctl': ['default', 'bare'],
  'j-telemetry': ['default'],
};

function listSuites(prefixes: readonly string[]): Suite[] {
  return readdirSync(join(import.meta.dirname, 'suites'))
    .filter(file => file.endsWith('.test.ts'))
    .map(file => file.replace('.test.ts', ''))
    .filter(name => prefixes.length === 0 || prefixes.some(prefix => name.startsWith(prefix)))
    .sort()
    .map(name => ({ name, modes: modesOf[name] ?? ['bare'] }));
}

type Row = { name: string; mode: Mode; minutes: number; passed: boolean };

function runSuite(suite: Suite, mode: Mode): Row {
  console.log(`=== ${suite.name} (${mode} mode)`);
  const began = Date.now();
  const file = join(import.meta.dirname, 'suites', `${suite.name}.test.ts`);
  const tap = join(repository, 'node_modules/.bin/tap');
  const args = ['--disable-coverage', '--timeout=900', '--jobs=1', '--reporter=tap', file];
  const { status } = spawnSync(tap, args, { cwd: repository, env: environment, stdio: 'inherit' });
  return { name: suite.name, mode, minutes: (Date.now() - began) / 60_000, passed: status === 0 };
}

/** Runs the suites whose names start with one of `prefixes`, or all. A cluster that was up already stays up. Gives the exit code. */
export async function runSuites(prefixes: readonly string[]): Promise<number> {
  const suites = listSuites(prefixes);
  const began = Date.now();
  const wasUp = isUp();
  const rows: Row[] = [];
  let prepared = 0;
  try {
    for (const mode of ['default', 'bare'] as const) {
      const wanted = suites.filter(suite => suite.modes.includes(mode));
      if (wanted.length === 0) continue;
      if (prepared === 0) {
        await bringUp(mode);
        if (process.env.MESH_IMAGE !== 'keep') buildSidecar();
        prepared = (Date.now() - began) / 60_000;
      } else await installIstio(mode);
      for (const suite of wanted) rows.push(runSuite(suite, mode));
    }
  } finally {
    if (!wasUp) await takeDown();
  }
  console.log(`${'suite'.padEnd(24)}${'mode'.padEnd(10)}${'minutes'.padStart(8)}`);
  console.log(`${'cluster and image'.padEnd(34)}${prepared.toFixed(1).padStart(8)}`);
  for (const { name, mode, minutes, passed } of rows) {
    console.log(`${name.padEnd(24)}${mode.padEnd(10)}${minutes.toFixed(1).padStart(8)}${passed ? '' : '  FAILED'}`);
  }
  console.log(`${'all'.padEnd(34)}${((Date.now() - began) / 60_000).toFixed(1).padStart(8)}`);
  return rows.every(row => row.passed) ? 0 : 1;
}
