import t from 'tap';
import { type Config, defaultConfig, fillFromEnvironment, type Host, validateConfig } from '../../../iptables/config.ts';
import { applyArguments, applyEnvironment, renderHelp } from '../../../iptables/flags.ts';

function parse(argv: string[], env: { [name: string]: string } = {}): Config {
  const config = defaultConfig();
  applyEnvironment(config, env);
  applyArguments(config, { outputLevel: '', json: false, targets: [] }, argv);
  return config;
}

function hostWith(addresses: string[], files: { [path: string]: string } = {}): Host {
  return {
    addresses: () => addresses,
    readText: path => {
      if (files[path] === undefined) throw new Error(`no ${path}`);
      return files[path];
    },
  };
}

t.test('values come after a space, after an equals sign, or at once', async t => {
  t.equal(parse(['-p', '1']).proxyPort, '1');
  t.equal(parse(['-p=1']).proxyPort, '1');
  t.equal(parse(['-p1']).proxyPort, '1');
  t.equal(parse(['--envoy-port=1']).proxyPort, '1');
  t.match(parse(['-nm', 'TPROXY']), { dryRun: true, inboundInterceptionMode: 'TPROXY' });
  t.match(parse(['-n=false', '-x', '']), { dryRun: false, outboundIpRangesExclude: '' });
  t.equal(parse(['stray', '-p', '-z']).proxyPort, '-z', 'a value may look like a flag');
  t.equal(parse(['--', '-p', '1']).proxyPort, '15001', 'nothing is read after --');
});

t.test('the environment is below the command line, and its nonsense is passed over', async t => {
  t.equal(parse([], { ISTIO_INBOUND_PORTS: '80' }).inboundPortsInclude, '80');
  t.equal(parse(['-b', '*'], { ISTIO_INBOUND_PORTS: '80' }).inboundPortsInclude, '*');
  t.equal(parse([], { REDIRECT_DNS: 'true', ISTIO_META_DNS_CAPTURE: 'false' }).redirectDns, false);
  t.equal(parse([], { DRY_RUN: 'maybe' }).dryRun, false);
  t.equal(parse([], { ENVOY_PORT: '1' }).proxyPort, '15001', '-p has no variable');
});

t.test('wrong use names the flag', async t => {
  t.throws(() => parse(['--nope']), new Error('unknown flag: --nope'));
  t.throws(() => parse(['-ny']), new Error("unknown shorthand flag: 'y' in -ny"));
  t.throws(() => parse(['-z']), new Error("flag needs an argument: 'z' in -z"));
  t.throws(() => parse(['--dry-run=maybe']), /"-n, --dry-run"/);
  t.match(renderHelp(), /-p, --envoy-port/);
});

t.test('uid, IPv6 and name servers come from the machine', async t => {
  const config = parse(['--redirect-dns']);
  fillFromEnvironment(
    config,
    {},
    hostWith(['127.0.0.1', '10.0.0.1', '::1', 'fe80::1', 'fd00::1'], {
      '/etc/passwd': 'root:x:0:0::/:\nistio-proxy:x:99:99::/:\n',
      '/etc/resolv.conf': 'search x\nnameserver 10.96.0.10\nnameserver FD00::0:A\nnameserver junk\n',
    }),
  );
  t.match(config, { proxyUid: '99', proxyGid: '99', enableIpv6: false, hostIp: '10.0.0.1' });
  t.same([config.dnsServersV4, config.dnsServersV6], [['10.96.0.10'], ['fd00::a']]);
  const dual = parse(['--dual-stack']);
  fillFromEnvironment(dual, { ENVOY_USER: 'nobody' }, hostWith(['10.0.0.1', 'fd00::1']));
  t.match(dual, { proxyUid: '1337', enableIpv6: true, hostIp: '10.0.0.1' });
  t.throws(() => fillFromEnvironment(parse([]), {}, hostWith(['127.0.0.1', 'fe80::1'])), /no valid local IP/);
  t.throws(() => fillFromEnvironment(parse(['--redirect-dns']), {}, hostWith(['10.0.0.1'])), /resolv\.conf/);
});

t.test('values that cannot be used are refused', async t => {
  const refuse = (changes: Partial<Config>, pattern: RegExp): void =>
    void t.throws(() => validateConfig({ ...defaultConfig(), ...changes }), pattern);
  validateConfig(defaultConfig());
  refuse({ forceIptablesBinary: 'other' }, /FORCE_IPTABLES_BINARY/);
  refuse({ hostIpv4LoopbackCidr: '10.0.0.1/8' }, /loopback/);
  refuse({ hostIpv4LoopbackCidr: '127.0.0.1/7' }, /mask/);
  refuse({ hostIpv4LoopbackCidr: 'x' }, /parse/);
  refuse({ ownerGroupsInclude: Array.from({ length: 65 }, (_, id) => id).join(',') }, /cannot exceed 64, got 65/);
});
