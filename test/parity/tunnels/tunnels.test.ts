/** CONNECT, tunnels of the TCP proxy, internal listeners and HBONE, through Envoy and through this proxy. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { findEnvoy } from '../../support/envoy-binary.ts';
import { ownCommand } from '../../support/proxy-process.ts';
import { tunnelCases } from './cases.ts';
import { runCases } from './exchange.ts';

const envoy = findEnvoy();
t.test('tunnels are the same as with Envoy', { skip: envoy === null && 'no Envoy binary (npm run mesh -- tools)' }, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'tunnels-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const only = process.env.TUNNEL_CASE;
  const cases = only === undefined ? tunnelCases : tunnelCases.filter(({ name }) => name.includes(only));
  const expected = await runCases(cases, { name: 'envoy', command: envoy as string }, folder);
  const own = await runCases(cases, { name: 'own', ...ownCommand() }, folder);
  for (const [i, { name }] of cases.entries()) t.same(own[i], expected[i], name);
});
