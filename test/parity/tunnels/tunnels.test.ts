/** CONNECT, tunnels of the TCP proxy, internal listeners and HBONE, through Envoy and through this proxy, and from one to the other. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import { findEnvoy } from '../../support/envoy-binary.ts';
import { ownCommand } from '../../support/proxy-process.ts';
import { makeCertificates } from '../tls-scenarios.ts';
import { crossedCases, makeShapeCases, recordedCases, tunnelCases } from './cases/index.ts';
import { type Observation, type RunOptions, runCases, type TunnelCase } from './exchange.ts';

/** A machine that stalls can turn any order of events round: what differs is run again, and counts if it differs every time. */
const repetitions = 2;

interface Makers {
  readonly front: RunOptions;
  readonly behind: RunOptions;
}

async function compare(t: Test, cases: readonly TunnelCase[], envoy: Makers, own: Makers, folder: string): Promise<void> {
  const run = (some: readonly TunnelCase[], { front, behind }: Makers): Promise<Observation[]> =>
    runCases(some, front, folder, behind);
  let differing = cases;
  for (let attempt = 0; differing.length > 0; attempt++) {
    const expected = await run(differing, envoy);
    const seen = await run(differing, own);
    const isLast = attempt === repetitions;
    const different = differing.filter((_, i) => JSON.stringify(seen[i]) !== JSON.stringify(expected[i]));
    for (const [i, tunnel] of differing.entries()) {
      if (isLast || !different.includes(tunnel)) t.same(seen[i], expected[i], tunnel.name);
    }
    if (isLast) return;
    differing = different;
  }
}

const binary = findEnvoy();
t.test('tunnels are the same as with Envoy', { skip: binary === null && 'no Envoy binary (npm run mesh -- tools)' }, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'tunnels-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  makeCertificates(folder);
  const envoy = { name: 'envoy', command: binary as string };
  const own = { name: 'own', ...ownCommand() };
  const envoys = { front: envoy, behind: envoy };
  const crossed = [...crossedCases, ...recordedCases];
  await t.test('in one proxy', t => compare(t, tunnelCases, envoys, { front: own, behind: own }, folder));
  const shapes = await makeShapeCases();
  await t.test('with the listeners of a Sidecar', t => compare(t, shapes, envoys, { front: own, behind: own }, folder));
  await t.test('between two of ours', t => compare(t, crossed, envoys, { front: own, behind: own }, folder));
  await t.test('from ours to Envoy', t => compare(t, crossed, envoys, { front: own, behind: envoy }, folder));
  await t.test('from Envoy to ours', t => compare(t, crossed, envoys, { front: envoy, behind: own }, folder));
});
