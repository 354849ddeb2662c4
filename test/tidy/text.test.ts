import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { listSources, root } from './sources.ts';

/** What may not be called, where, and what takes its place. */
const bans: readonly { pattern: RegExp; folders: RegExp; except?: RegExp; instead: string }[] = [
  {
    pattern: /\bnode:http2?'/,
    folders: /^proxy\/(listener|network|http|router|upstream|workers)\//,
    instead: 'the codecs of proxy/http',
  },
  { pattern: /\bsetTimeout\(/, folders: /^proxy\/(http|router|listener)\//, instead: 'common/timer-wheel.ts' },
  {
    pattern: /\._handle\b/,
    folders: /^(proxy|agent|iptables|common)\//,
    except: /^proxy\/network\//,
    instead: 'the transport seam of proxy/network',
  },
  { pattern: /\bprocess\.binding\(/, folders: /./, except: /^test\/tidy\//, instead: 'proxy/network/socket-options.ts' },
  {
    pattern: /\bprocess\.env\b/,
    folders: /^agent\//,
    except: /^agent\/(config\/|main\.ts)/,
    instead: 'agent/config, the only reader of the environment',
  },
  {
    pattern: /\bprocess\.env\b/,
    folders: /^proxy\//,
    except: /^proxy\/(main|telemetry\/|config\/compile\/data-source)/,
    instead: 'the bootstrap file or an option',
  },
  {
    pattern: new RegExp(['TO', 'DO|FIX', 'ME|X', 'XX\\b'].join('')),
    folders: /./,
    instead: 'doing it, or saying in the README that it is missing',
  },
];

const sources = listSources('.ts', '.sh', 'Dockerfile');

t.test('banned calls stay out', async t => {
  for (const { path, lines } of sources) {
    for (const { pattern, folders, except, instead } of bans) {
      if (!folders.test(path) || except?.test(path)) continue;
      for (const [index, line] of lines.entries()) {
        if (pattern.test(line)) t.fail(`${path}:${index + 1} uses ${pattern.source}; instead: ${instead}`);
      }
    }
  }
});

t.test('file names are nouns in kebab case, and no drawer is called utils', async t => {
  for (const { path } of listSources('.ts')) {
    const name = path.slice(path.lastIndexOf('/') + 1);
    if (!/^[a-z0-9]+(-[a-z0-9]+)*(\.test|\.d)?\.ts$/.test(name)) t.fail(`${path} is not in kebab case`);
    if (/(^|\/)(utils?|helpers?|misc)[./]/.test(path)) t.fail(`${path} says nothing about what is in it`);
  }
});

t.test('every source folder and entry is described in ARCHITECTURE.md', async t => {
  const architecture = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8');
  const folders = new Set(
    listSources('.ts')
      .map(({ path }) => path.split('/'))
      .filter(parts => parts.length > 1)
      .map(parts => (parts[0] === 'proxy' || parts[0] === 'agent' ? parts.slice(0, 2) : parts.slice(0, 1)))
      .filter(parts => !parts.at(-1)?.endsWith('.ts'))
      .map(parts => `${parts.join('/')}/`),
  );
  for (const folder of folders) if (!architecture.includes(folder)) t.fail(`ARCHITECTURE.md does not name ${folder}`);
});
