import t from 'tap';
import { type Config, defaultConfig } from '../../../iptables/config.ts';
import { addRoutes, planRoutes, removeRoutes } from '../../../iptables/routes.ts';
import { done, FakeExecutor, refused } from './fake-executor.ts';

function configWith(changes: Partial<Config>): Config {
  return { ...defaultConfig(), ...changes };
}

const tproxy = configWith({ inboundPortsInclude: '*', inboundInterceptionMode: 'TPROXY', enableIpv6: true });

t.test('redirection needs the IPv6 address on lo only', async t => {
  t.same(planRoutes(configWith({ inboundPortsInclude: '*' })), []);
  const executor = new FakeExecutor();
  addRoutes(planRoutes(configWith({ enableIpv6: true })), executor);
  t.same(executor.linesOf(/./), ['ip -6 addr add ::6/128 dev lo']);
});

t.test('TPROXY leads marked packets to lo, in both versions', async t => {
  const executor = new FakeExecutor();
  addRoutes(planRoutes(tproxy), executor);
  t.same(executor.linesOf(/ add /), [
    'ip -6 addr add ::6/128 dev lo',
    'ip -4 rule add fwmark 1337 lookup 133',
    'ip -4 route add local default dev lo table 133',
    'ip -6 rule add fwmark 1337 lookup 133',
    'ip -6 route add local default dev lo table 133',
  ]);
});

t.test('what is there already is not added again', async t => {
  const executor = new FakeExecutor(line => {
    if (/rule show/.test(line)) return { ...done, stdout: '32765: from all fwmark 0x539 lookup 133\n' };
    if (/addr add/.test(line)) return refused('Error: ipv6: address already assigned.');
    return refused('RTNETLINK answers: File exists');
  });
  t.same(addRoutes(planRoutes(tproxy), executor), [], 'nothing was added');
  t.same(executor.linesOf(/rule add/), []);
});

t.test('a refusal takes back what was added', async t => {
  const executor = new FakeExecutor(line => (/-6 rule add/.test(line) ? refused('Operation not permitted') : undefined));
  t.throws(() => addRoutes(planRoutes(tproxy), executor), /failed to add routing rule: capability NET_ADMIN is missing/);
  t.same(executor.linesOf(/ del /), [
    'ip -4 route del local default dev lo table 133',
    'ip -4 rule del fwmark 1337 lookup 133',
    'ip -6 addr del ::6/128 dev lo',
  ]);
});

t.test('removing what is not there is fine', async t => {
  removeRoutes(planRoutes(tproxy), new FakeExecutor(() => refused('RTNETLINK answers: No such process')));
  t.pass('no error');
});

t.test('a mark or table that is no number names its flag', async t => {
  t.throws(() => planRoutes({ ...tproxy, inboundTproxyMark: '0x539' }), /"0x539".*-t, --istio-inbound-tproxy-mark/);
  t.throws(() => planRoutes({ ...tproxy, inboundTproxyRouteTable: 'abc' }), /"abc".*-r, --istio-inbound-tproxy-route-table/);
});
