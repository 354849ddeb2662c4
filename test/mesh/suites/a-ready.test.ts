/** Pods become ready, classic and native; and the image works as it is meant to: read-only, without rights, its code compiled before. */
import t from 'tap';
import { apply, getObject } from '../cluster/kubectl.ts';
import { exec, makeNamespace, requireMode, waitReady } from '../fixtures/mesh.ts';
import { type App, workload } from '../fixtures/pods.ts';
import { subject } from '../fixtures/subject.ts';

t.comment(`mode: ${requireMode()}, subject: ${subject}`);
const namespace = makeNamespace(t, 'mesh-ready');
const apps: App[] = [
  { name: 'classic', sidecar: subject },
  { name: 'native', sidecar: subject, native: true },
];
apply(apps.map(app => workload(namespace, app)));
waitReady(namespace, apps);

for (const app of apps) {
  t.test(`a ${app.name} sidecar becomes ready in the shape that was asked for, without a restart`, async t => {
    const { status } = getObject('-n', namespace, 'pod', app.name);
    const containers = [...status.containerStatuses, ...status.initContainerStatuses];
    for (const { name, restartCount } of containers) t.equal(restartCount, 0, `${name} never restarted`);
  });
}

if (subject === 'sidecar') {
  const installed = '/usr/local/lib/node-sidecar';
  const inSidecar = (...command: string[]): string => {
    const { stdout, stderr } = exec(namespace, 'classic', 'istio-proxy', command);
    return stdout + stderr;
  };

  t.test('the sidecar has no rights and nothing to write to but what the pod gives it', async t => {
    t.match(inSidecar('id'), /^uid=1337\S* gid=1337/);
    t.match(inSidecar('touch', '/file'), /Read-only file system/);
    t.match(inSidecar('touch', `${installed}/dist/file`), /Read-only file system/);
  });

  // Byte code is for the flags that it was made with, the launchers'.
  const launchers = { 'pilot-agent': ['agent', 'agent-proxy', 'iptables'], 'sidecar-proxy': ['proxy', 'worker'] };
  const started = Object.entries(launchers).flatMap(([launcher, programs]) => programs.map(program => [launcher, program]));
  for (const [launcher, program] of started) {
    t.test(`${program}: the image holds byte code that its Node takes`, async t => {
      const [script, cache] = ['cjs', 'cache'].map(ending => `${installed}/dist/${program}.${ending}`);
      const load = `const { readFileSync: read } = require('node:fs');
        const options = { filename: '${script}', cachedData: read('${cache}') };
        console.log(new (require('node:vm').Script)(read('${script}', 'latin1'), options).cachedDataRejected);`;
      const node = `${installed}/node_modules/node/bin/node`;
      const text = inSidecar('grep', '^flags=', `${installed}/bin/${launcher}`);
      const flags: readonly string[] = text.match(/--[\w=-]+/g) ?? [];
      t.ok(flags.includes('--expose-gc'), 'the flags of the launcher');
      t.equal(inSidecar(node, ...flags, '--eval', load).trim(), 'false');
    });
  }
}
