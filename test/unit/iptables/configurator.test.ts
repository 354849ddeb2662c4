import t from 'tap';
import { type Config, defaultConfig } from '../../../iptables/config.ts';
import { programIptables } from '../../../iptables/configurator.ts';
import { configureLog } from '../../../iptables/log.ts';
import { programNftables } from '../../../iptables/nftables/configurator.ts';
import { done, FakeExecutor, refused } from './fake-executor.ts';

configureLog({ outputLevel: 'none', json: false, targets: [] });
const config: Config = { ...defaultConfig(), proxyUid: '1337', proxyGid: '1337', enableIpv6: true, dropInvalid: true };
const foreign = '*nat\n:OUTPUT ACCEPT [1:2]\n-A OUTPUT -p tcp -j RETURN\nCOMMIT\n';

t.test('a failure of the second IP version brings the first one back to what it was', async t => {
  let applied = false;
  const executor = new FakeExecutor(line => {
    if (line === 'ip6tables-restore --noflush') return refused('no');
    if (line === 'iptables-restore --noflush') applied = true;
    if (line === 'iptables-save') return { ...done, stdout: applied ? `${foreign}*mangle\n-A X\nCOMMIT\n` : foreign };
    return undefined;
  });
  t.throws(() => programIptables(config, {}, executor), /ip6tables-restore: no/);
  const [undo, ...others] = executor.calls.filter(call => call.commandLine === 'iptables-restore');
  t.same(others, []);
  t.equal(undo.stdin, `*mangle\nCOMMIT\n${foreign}`, 'the table that was not there, and the one with rules of others');
  t.same(executor.linesOf(/^ip6tables-restore$/), [], 'IPv6 is as it was: nothing to undo');
});

t.test('nothing is restored where everything went well', async t => {
  const executor = new FakeExecutor();
  programIptables(config, {}, executor);
  t.same(executor.linesOf(/restore/), ['iptables-restore --noflush', 'ip6tables-restore --noflush']);
});

t.test('nftables take one transaction, for rules and for their removal', async t => {
  const executor = new FakeExecutor();
  t.match(programNftables(config, {}, executor), /^add table inet istio-proxy-nat\nflush table/);
  t.match(programNftables({ ...config, cleanupOnly: true }, {}, executor), /^add table inet istio-proxy-nat\ndelete table/);
  t.same(executor.linesOf(/./), ['nft -f -', 'nft -f -']);
  const refusing = new FakeExecutor(() => refused('Operation not permitted'));
  t.throws(() => programNftables(config, {}, refusing), /nativeNftables is enabled: nft: capability NET_ADMIN is missing/);
});
