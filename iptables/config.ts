/** What the init step is asked to do: the configuration record, its defaults, and its validation. */
import { networkInterfaces } from 'node:os';
import { readFileSync } from 'node:fs';
import { isIPv4, isIPv6 } from 'node:net';
import { ports } from '../common/ports.ts';
import { canonicalV6, parsePrefix, splitList } from './prefix.ts';

/**
 * Lists are comma separated text as on the command line; ports, uids and marks are text too, because they go into the rules as
 * they were given.
 *
 * Source: the flags of `pilot-agent istio-iptables --help`.
 */
export type Config = {
  proxyPort: string;
  inboundCapturePort: string;
  inboundTunnelPort: string;
  /** Empty before fillFromEnvironment: then the uid of ENVOY_USER, else 1337. */
  proxyUid: string;
  /** Empty before fillFromEnvironment: then the same as proxyUid. */
  proxyGid: string;
  /** TPROXY, or anything else for REDIRECT. */
  inboundInterceptionMode: string;
  inboundTproxyMark: string;
  inboundTproxyRouteTable: string;
  /** `*`, a list, or empty: inbound traffic is not captured. */
  inboundPortsInclude: string;
  /** Only used when inboundPortsInclude is `*`. */
  inboundPortsExclude: string;
  ownerGroupsInclude: string;
  ownerGroupsExclude: string;
  outboundPortsInclude: string;
  outboundPortsExclude: string;
  /** `*`, a list of CIDRs, or empty: outbound traffic is not captured. */
  outboundIpRangesInclude: string;
  outboundIpRangesExclude: string;
  rerouteVirtualInterfaces: string;
  excludeInterfaces: string;
  iptablesProbePort: number;
  probeTimeoutMs: number;
  dryRun: boolean;
  skipRuleApply: boolean;
  runValidation: boolean;
  redirectDns: boolean;
  dropInvalid: boolean;
  captureAllDns: boolean;
  enableIpv6: boolean;
  dnsServersV4: readonly string[];
  dnsServersV6: readonly string[];
  networkNamespace: string;
  cniMode: boolean;
  dualStack: boolean;
  hostIp: string;
  hostIpv4LoopbackCidr: string;
  reconcile: boolean;
  cleanupOnly: boolean;
  forceApply: boolean;
  nativeNftables: boolean;
  /** `legacy`, `nft`, or empty: detected. */
  forceIptablesBinary: string;
};

export type Environment = { readonly [name: string]: string | undefined };

/** The machine as the configuration needs it; tests pass their own. */
export type Host = {
  /** Addresses without prefix lengths, IPv4 before IPv6 as the kernel lists them. */
  addresses(): readonly string[];
  /** The text of a file; throws if it cannot be read. */
  readText(path: string): string;
};

export const thisHost: Host = {
  addresses: () =>
    Object.values(networkInterfaces())
      .flatMap(entries => entries ?? [])
      .sort((one, other) => one.family.localeCompare(other.family))
      .map(entry => entry.address.replace(/%.*/, '')),
  readText: path => readFileSync(path, 'utf8'),
};

const defaultProxyUid = '1337';
/** One rule carries all included groups, and the kernel limits the matches of a rule. */
const maxIncludedOwnerGroups = 64;

/** The configuration before flags and environment. */
export function defaultConfig(): Config {
  return {
    proxyPort: String(ports.outbound),
    inboundCapturePort: String(ports.inbound),
    inboundTunnelPort: String(ports.hbone),
    proxyUid: '',
    proxyGid: '',
    inboundInterceptionMode: '',
    inboundTproxyMark: '1337',
    inboundTproxyRouteTable: '133',
    inboundPortsInclude: '',
    inboundPortsExclude: '',
    ownerGroupsInclude: '*',
    ownerGroupsExclude: '',
    outboundPortsInclude: '',
    outboundPortsExclude: '',
    outboundIpRangesInclude: '',
    outboundIpRangesExclude: '',
    rerouteVirtualInterfaces: '',
    excludeInterfaces: '',
    iptablesProbePort: ports.iptablesProbe,
    probeTimeoutMs: 5000,
    dryRun: false,
    skipRuleApply: false,
    runValidation: false,
    redirectDns: false,
    dropInvalid: false,
    captureAllDns: false,
    enableIpv6: false,
    dnsServersV4: [],
    dnsServersV6: [],
    networkNamespace: '',
    cniMode: false,
    dualStack: false,
    hostIp: '',
    hostIpv4LoopbackCidr: '127.0.0.1/32',
    reconcile: false,
    cleanupOnly: false,
    forceApply: false,
    nativeNftables: false,
    forceIptablesBinary: '',
  };
}

/** Completes `config` from the environment and the machine. Throws an Error where the machine gives no answer. */
export function fillFromEnvironment(config: Config, env: Environment, host: Host = thisHost): void {
  config.ownerGroupsInclude = env.ISTIO_OUTBOUND_OWNER_GROUPS ?? config.ownerGroupsInclude;
  config.ownerGroupsExclude = env.ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE ?? config.ownerGroupsExclude;
  config.hostIpv4LoopbackCidr = env.ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR ?? config.hostIpv4LoopbackCidr;
  if (config.proxyUid === '') config.proxyUid = uidOf(env.ENVOY_USER ?? 'istio-proxy', host) ?? defaultProxyUid;
  if (config.proxyGid === '') config.proxyGid = config.proxyUid;
  const local = findLocalAddress(host.addresses(), config.dualStack);
  config.hostIp = local.address;
  config.enableIpv6 = local.isV6;
  if (!config.redirectDns || config.captureAllDns) return;
  const servers = readNameServers(host);
  config.dnsServersV4 = servers.filter(server => isIPv4(server));
  config.dnsServersV6 = servers.filter(server => isIPv6(server)).map(canonicalV6);
}

/** Throws an Error that says which value cannot be used. */
export function validateConfig(config: Config): void {
  const included = splitList(config.ownerGroupsInclude);
  if (config.ownerGroupsInclude !== '*' && included.length > maxIncludedOwnerGroups) {
    throw new Error(
      'number of owner groups whose outgoing traffic should be redirected to Envoy cannot exceed ' +
        `${maxIncludedOwnerGroups}, got ${included.length}: [${included.join(' ')}]`,
    );
  }
  if (!['', 'legacy', 'nft'].includes(config.forceIptablesBinary)) {
    throw new Error(`invalid FORCE_IPTABLES_BINARY value ${JSON.stringify(config.forceIptablesBinary)}`);
  }
  validateLoopbackCidr(config.hostIpv4LoopbackCidr);
}

function validateLoopbackCidr(cidr: string): void {
  let prefix: ReturnType<typeof parsePrefix>;
  try {
    prefix = parsePrefix(cidr);
  } catch (error) {
    throw new Error(`failed to parse CIDR ${cidr}: ${(error as Error).message}`);
  }
  if (!prefix.isV4 || !prefix.isLoopback) {
    throw new Error(`expected valid IPv4 loopback address in CIDR ${cidr}; found ${prefix.text.split('/')[0]}`);
  }
  if (prefix.bits < 8) throw new Error(`expected CIDR ${cidr} to have mask in range [8, 32]; found ${prefix.bits}`);
}

function uidOf(user: string, host: Host): string | null {
  try {
    for (const line of host.readText('/etc/passwd').split('\n')) {
      const fields = line.split(':');
      if (fields[0] === user && /^\d+$/.test(fields[2] ?? '')) return fields[2];
    }
  } catch {
    // No user database in the image: the default stands.
  }
  return null;
}

/** The address that decides about IPv6: the first usable one; with dual stack any IPv6 address turns IPv6 on. */
function findLocalAddress(addresses: readonly string[], dualStack: boolean): { address: string; isV6: boolean } {
  const usable = addresses.map(address => address.replace(/^::ffff:(?=\d+\.)/i, '')).filter(address => !isLocalOnly(address));
  if (usable.length === 0) throw new Error('no valid local IP address found');
  const isV6 = dualStack ? usable.some(address => isIPv6(address)) : isIPv6(usable[0]);
  return { address: usable[0], isV6 };
}

function isLocalOnly(address: string): boolean {
  if (isIPv4(address)) return address.startsWith('127.') || address.startsWith('169.254.') || address.startsWith('224.0.0.');
  return address === '::1' || /^fe[89ab]/i.test(address) || /^ff.2:/i.test(address);
}

function readNameServers(host: Host): string[] {
  let text: string;
  try {
    text = host.readText('/etc/resolv.conf');
  } catch (error) {
    throw new Error(`failed to load /etc/resolv.conf: ${(error as Error).message}`);
  }
  return text
    .split('\n')
    .map(line => line.trim().split(/\s+/))
    .filter(fields => fields[0] === 'nameserver' && fields.length > 1)
    .map(fields => fields[1]);
}
