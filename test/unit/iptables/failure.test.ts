import t from 'tap';
import { defaultConfig } from '../../../iptables/config.ts';
import { explainCause, explainFailure } from '../../../iptables/failure.ts';

const config = { ...defaultConfig(), outboundPortsExclude: '3306,http-x', proxyUid: '7', proxyGid: '7' };
const stdin = '* nat\n-N ISTIO_OUTPUT\n-A ISTIO_OUTPUT -p tcp --dport http-x -j RETURN\nCOMMIT\n';

t.test('the cause is the first line that says something, and a missing capability is named', async t => {
  t.equal(explainCause('\n  nft: no\nmore\n'), 'nft: no');
  t.equal(explainCause(''), 'no reason given');
  t.equal(explainCause('/dev/stdin:1:1-20: Error: Could not\nadd rule\n^^^'), 'Could not');
  t.match(explainCause('Fatal: Permission denied (you must be root)'), /^capability NET_ADMIN is missing: Fatal/);
});

t.test('the rule is found by its line, and the flag by the word that the error quotes', async t => {
  const stderr = "xtables parameter problem: invalid port/service `http-x' specified\nError occurred at line: 3\nTry --help\n";
  t.equal(
    explainFailure({ command: 'iptables-restore', stderr, stdin }, config),
    'iptables-restore refused "-A ISTIO_OUTPUT -p tcp --dport http-x -j RETURN": xtables parameter problem: ' +
      "invalid port/service `http-x' specified (from -o, --istio-local-outbound-ports-exclude)",
  );
});

t.test('nft tells line and column', async t => {
  const rule = 'add rule inet istio-proxy-nat istio-output skuid 7 counter return';
  const stderr = '/dev/stdin:2:3-4: Error: no\n';
  t.equal(
    explainFailure({ command: 'nft', stderr, stdin: `add table x\n${rule}\n` }, config),
    `nft refused "${rule}": no (from -u, --proxy-uid or -g, --proxy-gid)`,
  );
});

t.test('a failed commit has no rule', async t => {
  t.equal(explainFailure({ command: 'x', stderr: 'line 4 failed', stdin }, config), 'x: line 4 failed');
});
