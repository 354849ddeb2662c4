/** Pods become ready, classic and native. */
import t from 'tap';
import { apply, getObject } from '../cluster/kubectl.ts';
import { makeNamespace, requireMode, waitReady } from '../fixtures/mesh.ts';
import { type App, workload } from '../fixtures/pods.ts';
import { subject } from '../fixtures/subject.ts';

t.comment(`mode: ${requireMode()}, subject: ${subject}`);

t.test('classic and native pods become ready, in the shape that was asked for', async t => {
  const namespace = makeNamespace(t, 'mesh-ready');
  const apps: App[] = [
    { name: 'classic', sidecar: subject },
    { name: 'native', sidecar: subject, native: true },
  ];
  apply(apps.map(app => workload(namespace, app)));
  waitReady(namespace, apps);
  for (const app of apps) {
    const { status } = getObject('-n', namespace, 'pod', app.name);
    const containers = [...status.containerStatuses, ...status.initContainerStatuses];
    t.ok(
      containers.every((container: { restartCount: number }) => container.restartCount === 0),
      `${app.name} never restarted`,
    );
  }
});
