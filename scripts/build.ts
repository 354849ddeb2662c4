/**
 * Bundles the programs into dist/, each as one script NAME.cjs that V8 can keep a compiled form of, with a NAME-start.cjs that runs
 * it, and the protobuf descriptor. Native code (koffi) stays outside.
 */
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import zlib from 'node:zlib';
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

/** Takes 5 ms to load, and a start needs none of it: required when a function or constant is first asked for. */
const lazyZlib: Plugin = {
  name: 'lazy-zlib',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(node:)?zlib$/ }, ({ namespace }) =>
      namespace === 'lazy' ? null : { path: 'zlib', namespace: 'lazy' },
    );
    const getters = Object.keys(zlib).map(name => `get ${name}() { return require('node:zlib').${name}; }`);
    const contents = `module.exports = { ${getters.join(', ')} };`;
    onLoad({ filter: /.*/, namespace: 'lazy' }, () => ({ contents }));
  },
};

const nameByProgram = new Map(Object.entries(programs).map(([name, source]) => [join(root, source), name]));

/** What a program imports while it runs is not bundled into it where it is a program itself. */
const separatePrograms: Plugin = {
  name: 'separate-programs',
  setup({ onResolve }) {
    onResolve({ filter: /^\./ }, ({ kind, path, resolveDir }) => {
      const name = kind === 'dynamic-import' ? nameByProgram.get(join(resolveDir, path)) : undefined;
      return name === undefined ? null : { path: `./${name}-start.cjs`, external: true };
    });
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
  plugins: [separatePrograms, withoutLong, lazyZlib],
  define: { 'import.meta.url': 'programUrl', 'import.meta.main': 'false' },
  // A function for NAME-start.cjs to call.
  banner: { js: '(function (require, programUrl) { const module = { exports: {} };' },
  footer: { js: 'return module.exports})' },
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
