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
  const inSidecar = (...command: string[]): string => {
    const { stdout, stderr } = exec(namespace, 'classic', 'istio-proxy', command);
    return stdout + stderr;
  };

  t.test('the sidecar has no rights and nothing to write to but what the pod gives it', async t => {
    t.match(inSidecar('id'), /^uid=1337\S* gid=1337/);
    t.match(inSidecar('touch', '/file'), /Read-only file system/);
    t.match(inSidecar('touch', '/var/cache/node-sidecar/file'), /Read-only file system/);
  });

  for (const command of ['pilot-agent version', 'envoy --version', 'sidecar-proxy --version']) {
    t.test(`${command} runs code that the image holds compiled`, async t => {
      const log = inSidecar('sh', '-c', `NODE_DEBUG_NATIVE=COMPILE_CACHE ${command}`);
      const read = log.match(/reading cache from/g)?.length ?? 0;
      t.ok(read > 0, `${read} modules`);
      t.equal(log.match(/was accepted/g)?.length, read, 'each with its code');
    });
  }
}
