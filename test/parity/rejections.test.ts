/** Configurations that Envoy refuses: this proxy refuses them too, and names what is wrong. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { findEnvoy } from '../support/envoy-binary.ts';
import { ownCommand } from '../support/proxy-process.ts';
import { buildBootstrap } from './bootstrap.ts';
import type { ParityCase } from './parity-case.ts';

const all = { prefix: '/' };
const to = (route: object) => [{ match: all, route: { cluster: '$lane', ...route } }];
const setHeader = (key: string) => ({ request_headers_to_add: [{ header: { key, value: 'x' } }] });
const refused = (name: string, parts: Partial<ParityCase>): ParityCase => ({ name, send: '', ...parts });

const cases: readonly ParityCase[] = [
  refused('unknown cluster', { routes: [{ match: all, route: { cluster: 'nowhere' } }] }),
  refused('unknown weighted cluster', {
    routes: [{ match: all, route: { weighted_clusters: { clusters: [{ name: 'nowhere', weight: 1 }] } } }],
  }),
  refused('unknown mirror', { routes: to({ request_mirror_policies: [{ cluster: 'nowhere' }] }) }),
  refused('no weight at all', {
    routes: [{ match: all, route: { weighted_clusters: { clusters: [{ name: '$lane', weight: 0 }] } } }],
  }),
  refused('edit of :path', { route: setHeader(':path') }),
  refused('edit of host', { route: setHeader('host') }),
  refused('edit of :authority', { virtualHost: setHeader(':authority') }),
  refused('regex that RE2 does not know', {
    routes: [{ match: { safe_regex: { regex: '(?<=a)b' } }, direct_response: { status: 200 } }],
  }),
  refused('regex that does not end', { routes: [{ match: { safe_regex: { regex: '(' } }, direct_response: { status: 200 } }] }),
  refused('domain twice', { virtualHost: { domains: ['a.test', 'a.test'] } }),
  refused('no domain', { virtualHost: { domains: [] } }),
  refused('direct response without a status', { routes: [{ match: all, direct_response: {} }] }),
  refused('two rewrites', {
    routes: to({ prefix_rewrite: '/x', regex_rewrite: { pattern: { regex: 'a' }, substitution: 'b' } }),
  }),
  refused('format that is not one', {
    route: { request_headers_to_add: [{ header: { key: 'x', value: '%NOT_AN_OPERATOR%' } }] },
  }),
  refused('max interval below the base interval', {
    routes: to({ retry_policy: { retry_on: '5xx', retry_back_off: { base_interval: '2s', max_interval: '1s' } } }),
  }),
];

const envoy = findEnvoy();
t.test(
  'refused configurations',
  { skip: envoy === null && 'no Envoy binary (npm run mesh -- tools)', timeout: 200_000 },
  async t => {
    const folder = mkdtempSync(join(tmpdir(), 'parity-rejections-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const own = ownCommand();
    const validate = (command: string, args: readonly string[], file: string) =>
      spawnSync(command, [...args, '-c', file, '--mode', 'validate', '-l', 'error'], { encoding: 'utf8', timeout: 60_000 });
    for (const [index, parityCase] of [refused('nothing is wrong', {}), ...cases].entries()) {
      const file = join(folder, `${index}.json`);
      const lane = { case: parityCase, logPath: '/dev/null', upstreamPort: 1, secondUpstreamPort: 0 };
      writeFileSync(file, JSON.stringify(buildBootstrap([lane])));
      const expected = validate(envoy as string, [], file);
      const actual = validate(own.command, own.args, file);
      t.equal(expected.status === 0, index === 0, `Envoy: ${parityCase.name}`);
      t.equal(actual.status === 0, index === 0, `${parityCase.name}: ${actual.stderr.trim().slice(-300)}`);
    }
  },
);
