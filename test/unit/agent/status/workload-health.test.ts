import t from 'tap';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ReadinessProbe } from '../../../../agent/config/proxy-config.ts';
import { WorkloadHealth } from '../../../../agent/status/workload-health.ts';
import { waitFor } from '../../../integration/wait.ts';

type Report = { readonly code: number; readonly message: string } | null;

function watch(t: { teardown(handler: () => void): void }, probe: ReadinessProbe): Report[] {
  const reports: Report[] = [];
  const health = new WorkloadHealth({
    // Periods are whole seconds in the configuration; nothing here depends on that.
    probe: { periodSeconds: 0.01, failureThreshold: 2, ...probe },
    defaultHost: '127.0.0.1',
    sourceAddress: '127.0.0.6',
    proxyCheck: null,
    onChange: report => reports.push(report),
  });
  t.teardown(() => health.close());
  return reports;
}

t.test('changes are reported once, after the thresholds', async t => {
  let code = 200;
  let requests = 0;
  const server = createServer((request, response) => {
    requests++;
    response.statusCode = request.headers['x-probe'] === 'yes' && request.headers.host === 'app' ? code : 400;
    response.end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const httpHeaders = [
    { name: 'X-Probe', value: 'yes' },
    { name: 'Host', value: 'app' },
  ];
  const reports = watch(t, { httpGet: { port: (server.address() as AddressInfo).port, path: '/health', httpHeaders } });
  await waitFor(() => reports.length === 1 && requests > 4);
  t.same(reports, [null]);
  code = 503;
  await waitFor(() => reports.length === 2);
  t.match(reports[1], { code: 500, message: /bad code 503/ });
  code = 302;
  await waitFor(() => reports.length === 3);
  t.equal(reports[2], null);
});

t.test('a port is healthy while it is open', async t => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const reports = watch(t, { tcpSocket: { port: (server.address() as AddressInfo).port } });
  await waitFor(() => reports.length === 1);
  server.close();
  await waitFor(() => reports.length === 2);
  t.match(reports, [null, { code: 500 }]);
});

t.test('a command is healthy while it exits with 0', async t => {
  const file = join(t.testdir(), 'up');
  writeFileSync(file, '');
  const reports = watch(t, { exec: { command: ['test', '-e', file] } });
  await waitFor(() => reports.length === 1);
  rmSync(file);
  await waitFor(() => reports.length === 2);
  t.match(reports, [null, { code: 500 }]);
  t.notOk(existsSync(file));
});
