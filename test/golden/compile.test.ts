/** What real pushes compile to. `UPDATE_GOLDEN=1` writes the files anew: read the difference before committing it. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { loadBootstrap } from '../../proxy/config/bootstrap-file.ts';
import { compileBootstrap } from '../../proxy/config/compile/bootstrap.ts';
import { compileCluster } from '../../proxy/config/compile/cluster.ts';
import { compileLoadAssignment } from '../../proxy/config/compile/endpoints.ts';
import { compileListener } from '../../proxy/config/compile/listener.ts';
import { compileRouteConfig } from '../../proxy/config/compile/route.ts';
import { createCompileContext } from '../../proxy/extensions/compile-manifest.ts';
import { bootstrapPath, type Kind, kinds, pods, readPush } from './pushes.ts';

const context = createCompileContext();
const compilers: { readonly [K in Kind]: (bytes: Uint8Array) => unknown } = {
  cds: bytes => compileCluster(bytes, context),
  eds: bytes => compileLoadAssignment(bytes, context),
  lds: bytes => compileListener(bytes, context),
  rds: bytes => compileRouteConfig(bytes, context),
};

function compareWithGolden(t: Test, name: string, value: unknown): void {
  const path = join(import.meta.dirname, 'compiled', `${name}.json`);
  const text = `${JSON.stringify(value, null, 1)}\n`;
  if (process.env.UPDATE_GOLDEN === '1') {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  t.strictSame(JSON.parse(text), JSON.parse(readFileSync(path, 'utf8')), name);
}

for (const pod of pods) {
  for (const kind of kinds) {
    t.test(`every ${kind} resource that istiod pushes to ${pod} compiles to what is recorded`, async t => {
      const compiled: { [name: string]: unknown } = {};
      for (const { name, bytes } of readPush(pod, kind)) compiled[name] = compilers[kind](bytes);
      t.ok(Object.keys(compiled).length > 0);
      compareWithGolden(t, `${pod}.${kind}`, compiled);
    });
  }
}

for (const role of ['client', 'server'] as const) {
  t.test(`the bootstrap of the real agent for a ${role} compiles with its static resources`, async t => {
    const loaded = await loadBootstrap({ configPath: bootstrapPath(role), configYaml: '', allowUnknownStaticFields: false });
    const { model, ...findings } = compileBootstrap(loaded.message, context);
    const { staticSecrets, staticClusters, staticListeners, ...rest } = model;
    t.strictSame(staticSecrets, []);
    compareWithGolden(t, `bootstrap-${role}`, {
      ...rest,
      findings,
      clusters: staticClusters.map(({ bytes }) => compileCluster(bytes, context)),
      listeners: staticListeners.map(({ bytes }) => compileListener(bytes, context)),
    });
  });
}
