import t from 'tap';
import { compile, refuses } from './fixture.ts';

const seconds = (count: number) => ({ seconds: count, nanos: 0 });
const basis = {
  timeout: seconds(1),
  interval: seconds(5),
  unhealthy_threshold: { value: 2 },
  healthy_threshold: { value: 1 },
};
const http = { path: '/' };
const at = 'health_checks[0]';

function check(parts: object) {
  return compile.cluster({ name: 'c', health_checks: [{ ...basis, ...parts }] }).model.healthCheck;
}

t.test('intervals follow one from the other, and a plain 200 is expected', async t => {
  t.match(check({ http_health_check: http, unhealthy_interval: seconds(7) }), {
    intervalMs: 5000,
    unhealthyIntervalMs: 7000,
    unhealthyEdgeIntervalMs: 7000,
    healthyEdgeIntervalMs: 5000,
    noTrafficIntervalMs: 60_000,
    noTrafficHealthyIntervalMs: 60_000,
    reuseConnection: true,
    check: {
      kind: 'http',
      codec: 'http1',
      method: 'GET',
      expectedStatuses: [{ start: 200, end: 201 }],
      responseBufferBytes: 1024,
    },
  });
  t.equal(compile.cluster({ name: 'c' }).model.healthCheck, undefined);
});

t.test('payloads are hexadecimal text or bytes', async t => {
  const receive = [{ text: '6f6B' }, { binary: Buffer.from([0xff]) }];
  t.same(check({ tcp_health_check: { receive } })?.check, { kind: 'tcp', send: '', receive: ['ok', '\xff'] });
});

t.test('what makes no sense is refused with its path', async t => {
  const refused = (parts: object, path: string, reason: string) => refuses(t, () => check(parts), `${at}.${path}`, reason);
  const refusedHttp = (parts: object, path: string, reason: string) =>
    refused({ http_health_check: { ...http, ...parts } }, `http_health_check.${path}`, reason);
  refused({ timeout: null, http_health_check: http }, 'timeout', 'required');
  refused({ unhealthy_threshold: null, http_health_check: http }, 'unhealthy_threshold', 'required');
  refused({ custom_health_check: { name: 'x' } }, 'custom_health_check', 'not implemented');
  refuses(t, () => check({}), at, 'health_checker is required');
  refusedHttp({ path: '' }, 'path', 'at least 1');
  refusedHttp({ send: { text: '00' } }, 'send', 'payload');
  refusedHttp({ method: 3, send: { text: '0' } }, 'send.text', 'hex');
  refusedHttp({ codec_client_type: 2 }, 'codec_client_type', 'HTTP3');
  refusedHttp({ expected_statuses: [{ start: 300, end: 200 }] }, 'expected_statuses[0]', 'start < end');
  refusedHttp({ receive: [{ text: '0000' }], response_buffer_size: { value: 1 } }, 'receive', 'over');
  refusedHttp(
    { request_headers_to_add: [{ header: { key: 'x', value: '%PROTOCOL%' } }] },
    'request_headers_to_add[0].header.value',
    'operators',
  );
});
