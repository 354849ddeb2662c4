/**
 * Makes the start-up snapshot of the proxy's main thread, dist/proxy.blob: V8 reads a heap of loaded modules in a fraction of
 * the time that loading them takes. It fits the Node binary and architecture it was made with, so it is made where the package
 * is built and not published.
 */
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import http2 from 'node:http2';
import { isBuiltin } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, type Plugin } from 'esbuild';

/** Built-in modules that may be part of a heap; all others hold native state or break worker threads (node:v8). */
const serializable = new Set([
  ...['assert', 'async_hooks', 'buffer', 'diagnostics_channel', 'events', 'fs', 'fs/promises', 'os', 'path', 'perf_hooks'],
  ...['process', 'querystring', 'stream', 'string_decoder', 'timers', 'timers/promises', 'url', 'util'],
]);

/** Used while the heap is made, where the module itself cannot be loaded. */
const substitutes: { readonly [module: string]: { readonly [name: string]: string } } = {
  http2: { constants: JSON.stringify(http2.constants) },
  net: {
    isIP: 'text => (text.includes(":") ? 6 : /^[0-9.]+$/.test(text) ? 4 : 0)',
    isIPv4: 'text => /^[0-9.]+$/.test(text)',
    isIPv6: 'text => text.includes(":")',
  },
};

/** Built-in modules are loaded by the first access of a member in the started program. */
const lazyBuiltins: Plugin = {
  name: 'lazy-builtins',
  setup(builder) {
    builder.onResolve({ filter: /^[a-z]/ }, ({ path }) => {
      const name = path.replace(/^node:/, '');
      return isBuiltin(path) && !serializable.has(name) ? { path: name, namespace: 'lazy-builtin' } : undefined;
    });
    builder.onLoad({ filter: /./, namespace: 'lazy-builtin' }, ({ path }) => ({
      contents: renderLazyModule(path),
      loader: 'js',
    }));
  },
};

function renderLazyModule(name: string): string {
  const names = Object.keys(process.getBuiltinModule(name) as object);
  const getters = names.map(key => `get ${JSON.stringify(key)}() { return load(${JSON.stringify(key)}); },`);
  const own = Object.entries(substitutes[name] ?? {}).map(([key, value]) => `${JSON.stringify(key)}: ${value},`);
  return `let loaded;
    const substitutes = {${own.join('')}};
    function load(key) {
      if (loaded === undefined) {
        if (globalThis.warmUpPath !== undefined) {
          if (key in substitutes) return substitutes[key];
          throw new Error('${name}.' + key + ' is not available while the snapshot is made');
        }
        loaded = process.getBuiltinModule('${name}');
      }
      return loaded[key];
    }
    module.exports = {${getters.join('\n')}};`;
}

const root = join(import.meta.dirname, '..');
const output = process.argv[2] ?? join(root, 'dist');
/** Recorded configuration; without it the snapshot is made all the same, and the proxy starts slower. */
const warmUpPath = join(root, 'test', 'golden');
/** V8's, as the launcher passes them. */
const flags = ['--max-semi-space-size=4'];

async function buildSnapshot(): Promise<void> {
  const bundle = join(output, 'snapshot.cjs');
  await build({
    absWorkingDir: root,
    entryPoints: ['proxy/snapshot.ts'],
    outfile: bundle,
    bundle: true,
    format: 'cjs',
    platform: 'node',
    target: 'node26',
    plugins: [lazyBuiltins],
    define: { 'import.meta.url': 'globalThis.programUrl' },
    banner: {
      js: `globalThis.programUrl = ${JSON.stringify(pathToFileURL(bundle).href)};
        globalThis.warmUpPath = ${JSON.stringify(warmUpPath)};`,
    },
    minify: true,
    legalComments: 'none',
    logLevel: 'warning',
  });
  const settings = join(output, 'snapshot.json');
  // Byte code of Node's own modules would double the size and tie the heap to this processor's features.
  writeFileSync(settings, JSON.stringify({ builder: bundle, withoutCodeCache: true }));
  const blob = join(output, 'proxy.blob');
  // A warning would load the streams of standard error into the heap, and worker threads of such a heap abort.
  const env = { ...process.env, NODE_NO_WARNINGS: '1' };
  const options = [...flags, '--snapshot-blob', blob, '--build-snapshot-config', settings];
  execFileSync(process.execPath, options, { stdio: 'inherit', env });
  rmSync(settings);
  rmSync(bundle);
  const start =
    "delete globalThis.warmUpPath;\nvoid globalThis.startProxy(require('node:url').pathToFileURL(__filename).href);\n";
  writeFileSync(join(output, 'proxy-start.cjs'), start);
}

await buildSnapshot();
