/**
 * Bundles the programs into dist/, each as one script that V8 can keep a compiled form of: agent.cjs, proxy.cjs, worker.cjs (the
 * proxy's threads), the protobuf descriptor, and for each program NAME-start.cjs, which runs it. Native code (koffi) stays outside.
 */
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build, type Plugin } from 'esbuild';
import { programs, writeStartFiles } from './start-files.ts';

const root = join(import.meta.dirname, '..');
const output = join(root, 'dist');

/** protobufjs takes 64-bit integers from it if it is there, and we take numbers; it compiles WebAssembly as it is loaded. */
const withoutLong: Plugin = {
  name: 'without-long',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^long$/ }, ({ path }) => ({ path, namespace: 'absent' }));
    onLoad({ filter: /.*/, namespace: 'absent' }, () => ({ contents: 'module.exports = {};' }));
  },
};

rmSync(output, { recursive: true, force: true });
mkdirSync(output, { recursive: true });
await build({
  absWorkingDir: root,
  entryPoints: programs,
  outdir: output,
  outExtension: { '.js': '.cjs' },
  bundle: true,
  format: 'cjs',
  platform: 'node',
  target: 'node26',
  external: ['koffi'],
  plugins: [withoutLong],
  define: { 'import.meta.url': 'programUrl', 'import.meta.main': 'false' },
  // A function for NAME-start.cjs to call.
  banner: { js: '(function (require, programUrl) { const module = { exports: {} };' },
  footer: { js: '})' },
  supported: { 'dynamic-import': false },
  // Identifiers stay: stack traces keep their meaning.
  minifyWhitespace: true,
  minifySyntax: true,
  // Latin-1 is read without decoding.
  charset: 'ascii',
  sourcemap: 'external',
  sourcesContent: false,
  legalComments: 'none',
  logLevel: 'warning',
});
writeStartFiles(output);
mkdirSync(join(output, 'generated'), { recursive: true });
cpSync(join(root, 'protos', 'generated', 'descriptor.json'), join(output, 'generated', 'descriptor.json'));
