import t from 'tap';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { createGrpcCheck, createProxyCheck, findMissingState, findMissingUpdate } from '../../../../agent/status/readiness.ts';

const updates = (cds: string, lds: string): string =>
  `cluster_manager.cds.update_rejected: ${cds[1]}\ncluster_manager.cds.update_success: ${cds[0]}\n` +
  `listener_manager.lds.update_rejected: ${lds[1]}\nlistener_manager.lds.update_success: ${lds[0]}\n`;

t.test('both clusters and listeners must have been accepted once', async t => {
  t.equal(findMissingUpdate(updates('10', '10')), null);
  t.match(
    findMissingUpdate(''),
    /config not received from XDS server \(is Istiod running\?\): cds updates: 0 successful, 0 rejected/,
  );
  t.match(findMissingUpdate(updates('10', '01')), /was rejected: .*lds updates: 0 successful, 1 rejected/);
  t.match(findMissingUpdate(updates('10', '00')), /not fully received/);
});

t.test('the server must be live with started workers', async t => {
  t.equal(findMissingState('listener_manager.workers_started: 1\nserver.state: 0\n'), null);
  t.equal(
    findMissingState('listener_manager.workers_started: 1\nserver.state: 2\n'),
    'server is not live, current state is: PRE_INITIALIZING',
  );
  t.equal(findMissingState('listener_manager.workers_started: 0\nserver.state: 0\n'), 'workers have not yet started');
  t.match(findMissingState(''), /server.state is not yet updated/);
});

t.test('what was seen once is not asked again, and the end of the agent ends readiness', async t => {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(decodeURIComponent(request.url ?? ''));
    const isUpdate = asked.length === 1;
    response.end(isUpdate ? updates('10', '10') : 'listener_manager.workers_started: 1\nserver.state: 0\n');
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const terminating = new AbortController();
  const check = createProxyCheck('127.0.0.1', (server.address() as { port: number }).port, terminating.signal);
  t.equal(await check(), null);
  t.equal(await check(), null);
  t.same(asked, [
    '/stats?usedonly&filter=^(cluster_manager\\.cds|listener_manager\\.lds)\\.(update_success|update_rejected)$',
    '/stats?usedonly&filter=^(server\\.state|listener_manager\\.workers_started)',
  ]);
  terminating.abort();
  t.equal(await check(), 'server is terminated');
});

t.test('a proxy that does not answer is not ready', async t => {
  const check = createProxyCheck('127.0.0.1', 1, new AbortController().signal);
  t.match(await check(), /ECONNREFUSED/);
});

t.test("the certificates that gRPC's bootstrap names have to be there, if it names any", async t => {
  t.equal(await createGrpcCheck('')(), null);
  const folder = t.testdir();
  const check = createGrpcCheck(folder);
  for (const name of ['root-cert.pem', 'key.pem', 'cert-chain.pem']) {
    t.equal(await check(), `${join(folder, name)} does not exist`);
    writeFileSync(join(folder, name), 'x');
  }
  t.equal(await check(), null);
});
