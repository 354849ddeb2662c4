import t from 'tap';
import { buildRules } from '../../../iptables/capture.ts';
import { type Config, defaultConfig } from '../../../iptables/config.ts';
import { guardrails, renderChecks, renderCleanup, renderDeletions, renderRestore, RuleSet } from '../../../iptables/rule-set.ts';
import { differsInShape, judgeState, parseState } from '../../../iptables/state.ts';

function configWith(changes: Partial<Config>): Config {
  return { ...defaultConfig(), proxyUid: '1337', proxyGid: '1337', ...changes };
}

t.test('chains are created before rules, those with rules of their own first', async t => {
  const rules = new RuleSet(false);
  rules.append('nat', 'PREROUTING', '-p', 'tcp', '-j', 'ISTIO_B');
  rules.append('nat', 'ISTIO_A', '-j', 'RETURN');
  rules.insert('mangle', 'ISTIO_C', 2, '-m', 'mark', '-j', 'MARK', '--set-mark', '1');
  t.equal(
    renderRestore(rules.v4),
    '* mangle\n-N ISTIO_C\n-I ISTIO_C 2 -m mark -j MARK --set-mark 1\nCOMMIT\n' +
      '* nat\n-N ISTIO_A\n-N ISTIO_B\n-A PREROUTING -p tcp -j ISTIO_B\n-A ISTIO_A -j RETURN\nCOMMIT\n',
  );
  t.same(rules.v6, [], 'no IPv6 rules without IPv6');
  t.equal(renderRestore(rules.v6), '');
});

t.test('cleanup removes jumps newest first, then flushes and removes the chains', async t => {
  const rules = new RuleSet(false);
  rules.append('nat', 'OUTPUT', '-j', 'ISTIO_OUTPUT');
  rules.append('nat', 'ISTIO_OUTPUT', '-j', 'RETURN');
  rules.insert('nat', 'PREROUTING', 1, '-i', 'virt0', '-j', 'RETURN');
  t.same(renderCleanup(rules.v4), [
    ['-t', 'nat', '-D', 'PREROUTING', '-i', 'virt0', '-j', 'RETURN'],
    ['-t', 'nat', '-D', 'OUTPUT', '-j', 'ISTIO_OUTPUT'],
    ['-t', 'nat', '-F', 'ISTIO_OUTPUT'],
    ['-t', 'nat', '-X', 'ISTIO_OUTPUT'],
  ]);
  t.equal(renderDeletions(guardrails).length, 6);
});

t.test('a value that depends on the IP version is put in', async t => {
  const { v4, v6 } = buildRules(configWith({ enableIpv6: true, outboundIpRangesInclude: '10.0.0.0/8,fd00::/8' }));
  t.match(renderRestore(v4), /-s 127\.0\.0\.6\/32 -j RETURN\n.*-d 10\.0\.0\.0\/8 -j ISTIO_REDIRECT\n/s);
  t.match(renderRestore(v6), /-s ::6\/128 -j RETURN\n.*-d fd00::\/8 -j ISTIO_REDIRECT\n/s);
});

t.test('an exclusion of everything is an error', async t => {
  t.throws(() => buildRules(configWith({ outboundIpRangesExclude: '*' })), /OUTBOUND_IP_RANGES_EXCLUDE/);
  t.throws(() => buildRules(configWith({ outboundIpRangesExclude: '10.0.0.0/33' })), /prefix length out of range/);
  t.throws(() => buildRules(configWith({ outboundIpRangesInclude: 'ten' })), /no '\/'/);
});

const restoreText = renderRestore(buildRules(configWith({ inboundPortsInclude: '*', outboundIpRangesInclude: '*' })).v4);
const saved = restoreText.replaceAll('* ', '*').replace(/^-N (\S+)/gm, ':$1 - [0:0]');

t.test("the state in the kernel is compared by chains, rule counts and the kernel's own word", async t => {
  t.same(
    judgeState(null, restoreText, () => true),
    { residue: false, delta: true, planned: true },
    'no iptables-save',
  );
  t.same(
    judgeState('', restoreText, () => true),
    { residue: false, delta: true, planned: true },
    'clean',
  );
  t.same(
    judgeState(saved, restoreText, () => true),
    { residue: true, delta: false, planned: true },
    'in place',
  );
  t.same(
    judgeState(saved, restoreText, () => false),
    { residue: true, delta: true, planned: true },
    'a rule is missing',
  );
  const extra = saved.replace('COMMIT', '-A ISTIO_OUTPUT -j RETURN\nCOMMIT');
  t.same(judgeState(extra, restoreText, () => true).delta, true, 'one rule more in an own chain');
  const foreign = saved.replace('COMMIT', '-A POSTROUTING -j MASQUERADE\nCOMMIT');
  t.same(judgeState(foreign, restoreText, () => true).delta, false, 'a foreign rule in a built-in chain');
  t.ok(differsInShape(parseState(saved.replace('COMMIT', ':ISTIO_DROP - [0:0]\nCOMMIT')), parseState(restoreText)));
  t.same(judgeState(saved, '', () => true).planned, false);
});

t.test('every rule is checked by its own text', async t => {
  const { v4 } = buildRules(configWith({ rerouteVirtualInterfaces: 'virt0' }));
  t.same(renderChecks(v4)[0], ['-t', 'nat', '-C', 'PREROUTING', '-i', 'virt0', '-j', 'RETURN']);
  t.equal(renderChecks(v4).length, v4.length);
});
