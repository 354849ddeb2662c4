import t from 'tap';
import { type Config, defaultConfig } from '../../../../iptables/config.ts';
import { buildNftRules } from '../../../../iptables/nftables/capture.ts';
import { NftRuleSet, renderRemoval, renderTransaction } from '../../../../iptables/nftables/rule-set.ts';

function transactionOf(changes: Partial<Config>): string {
  return renderTransaction(buildNftRules({ ...defaultConfig(), proxyUid: '1337', proxyGid: '1337', ...changes }).rules);
}

t.test('a table is emptied and filled at once, with the chains that hold rules, base chains first', async t => {
  const rules = new NftRuleSet(false);
  rules.append('mangle', 'istio-drop', 'counter drop');
  rules.append('mangle', 'output', 'meta l4proto tcp', 'counter jump', 'istio-drop');
  t.equal(
    renderTransaction(rules.rules),
    'add table inet istio-proxy-mangle\n' +
      'flush table inet istio-proxy-mangle\n' +
      'add chain inet istio-proxy-mangle output { type route hook output priority -150 ; }\n' +
      'add chain inet istio-proxy-mangle istio-drop\n' +
      'add rule inet istio-proxy-mangle istio-drop counter drop\n' +
      'add rule inet istio-proxy-mangle output meta l4proto tcp counter jump istio-drop\n',
  );
  t.equal(renderTransaction([]), '');
});

t.test('an insertion behind the last rule is an addition', async t => {
  const rules = new NftRuleSet(false);
  rules.insert('nat', 'prerouting', 0, 'a');
  rules.insert('nat', 'prerouting', 0, 'b');
  rules.insert('nat', 'prerouting', 2, 'c');
  t.same(renderTransaction(rules.rules).match(/(?:add|insert) rule .*/g), [
    'add rule inet istio-proxy-nat prerouting a',
    'insert rule inet istio-proxy-nat prerouting index 0 b',
    'add rule inet istio-proxy-nat prerouting c',
  ]);
});

t.test('without IPv6 no rule names an IPv6 address', async t => {
  const changes = { outboundIpRangesInclude: '10.0.0.0/8,fd00::/8', inboundPortsInclude: '*', inboundInterceptionMode: 'TPROXY' };
  t.notMatch(transactionOf(changes), 'ip6');
  t.match(transactionOf({ ...changes, enableIpv6: true }), /ip6 daddr fd00::\/8 counter jump istio-redirect/);
});

t.test('no rule jumps to a chain that does not exist', async t => {
  const dns = { redirectDns: true, dnsServersV6: ['fd00::a'] };
  for (const changes of [{}, dns, { ...dns, enableIpv6: true }, { inboundPortsInclude: '*', dropInvalid: true }]) {
    const text = transactionOf(changes);
    const chains = new Set([...text.matchAll(/add chain inet (\S+ \S+)/g)].map(match => match[1]));
    for (const [, table, target] of text.matchAll(/rule inet (\S+) .* jump (\S+)/g))
      t.ok(chains.has(`${table} ${target}`), target);
  }
});

t.test('an exclusion of everything is an error', async t => {
  t.throws(
    () => transactionOf({ outboundIpRangesExclude: '*' }),
    /OUTBOUND_IP_RANGES_EXCLUDE \(-x, --istio-service-exclude-cidr\)/,
  );
});

t.test('the removal adds each table first, so that a missing one is no error', async t => {
  t.equal(
    renderRemoval()
      .split('\n')
      .filter(line => /^(add|delete) table inet istio-proxy-(nat|mangle|raw)$/.test(line)).length,
    6,
  );
});
