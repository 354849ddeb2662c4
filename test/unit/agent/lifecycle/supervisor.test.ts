import t from 'tap';
import { sumActiveConnections } from '../../../../agent/lifecycle/supervisor.ts';

const ports = { envoyStatusPort: 15021, envoyPrometheusPort: 15090, envoySecureMetricsPort: 0, envoySecureMergedMetricsPort: 0 };

t.test('only connections of application traffic hold back the end', async t => {
  const stats = [
    'http.inbound.downstream_cx_active: 7',
    'listener.0.0.0.0_15006.downstream_cx_active: 2',
    'listener.0.0.0.0_15006.worker_0.downstream_cx_active: 2',
    'listener.0.0.0.0_15021.downstream_cx_active: 5',
    'listener.0.0.0.0_15090.downstream_cx_active: 5',
    'listener.admin.downstream_cx_active: 1',
    'listener.admin.main_thread.downstream_cx_active: 1',
    'listener.envoy_internal_main.downstream_cx_active: 9',
    'listener.10.0.0.1_8080.downstream_cx_active: 1',
    '',
  ];
  t.equal(sumActiveConnections(stats.join('\n'), ports), 3);
});
