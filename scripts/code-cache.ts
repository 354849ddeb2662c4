/**
 * Bundles the worker thread's program as one script, with V8's compiled form beside it: worker.cjs, worker.cache, and
 * worker-start.cjs, which runs the one with the other. A cache that V8 does not take (another processor, other flags) only costs
 * time. Comes after the snapshot.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

const root = join(import.meta.dirname, '..');
const output = process.argv[2] ?? join(root, 'dist');
/** As the launcher passes them: V8's flags and the snapshot's read-only part are in the cache's key. */
const flags = ['--max-semi-space-size=4', '--snapshot-blob', join(output, 'proxy.blob')];

const start = `'use strict';
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const { pathToFileURL } = require('node:url');
const { Script } = require('node:vm');
const filename = join(__dirname, 'worker.cjs');
let cachedData;
try {
  cachedData = readFileSync(join(__dirname, 'worker.cache'));
} catch {}
const script = new Script(readFileSync(filename, 'latin1'), { filename, cachedData });
script.runInThisContext()(require, pathToFileURL(filename).href);
if (process.argv[2] === '--write-cache') require('node:fs').writeFileSync(join(__dirname, 'worker.cache'), script.createCachedData());
`;

await build({
  absWorkingDir: root,
  entryPoints: ['proxy/workers/worker.ts'],
  outfile: join(output, 'worker.cjs'),
  bundle: true,
  format: 'cjs',
  platform: 'node',
  target: 'node26',
  external: ['koffi'],
  define: { 'import.meta.url': 'programUrl' },
  banner: { js: '(function (require, programUrl) { const module = { exports: {} };' },
  footer: { js: '})' },
  minify: true,
  // Latin-1 is read without decoding.
  charset: 'ascii',
  sourcemap: 'external',
  sourcesContent: false,
  legalComments: 'none',
  logLevel: 'warning',
});
const startFile = join(output, 'worker-start.cjs');
writeFileSync(startFile, start);
execFileSync(process.execPath, [...flags, startFile, '--write-cache'], { stdio: 'inherit' });
