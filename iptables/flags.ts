/**
 * Flags and their environment variables, and a parser with the manners of the original's: `--name value`, `--name=value`,
 * `-xvalue`, `-x=value`, joined shorthands of switches.
 */
import type { Config, Environment } from './config.ts';
import { parseBool, parseDuration, parsePort } from './flag-values.ts';
import type { LogOptions } from './log.ts';

type Kind = 'string' | 'bool' | 'port' | 'duration';
type FlagOf<K extends Kind> = { readonly key: keyof Config; readonly kind: K };
type Flag = FlagOf<Kind> & {
  readonly name: string;
  readonly short: string;
  /** Variables read before the command line, the last one that is set wins. */
  readonly env: readonly string[];
  readonly usage: string;
};

function flag(name: string, short: string, key: keyof Config, kind: Kind, usage: string, extraEnv: readonly string[] = []): Flag {
  const own = name === 'envoy-port' ? [] : [name.toUpperCase().replaceAll('-', '_')];
  return { name, short, key, kind, usage, env: [...own, ...extraEnv] };
}

const flags: readonly Flag[] = [
  flag('envoy-port', 'p', 'proxyPort', 'string', 'port that outbound TCP traffic is redirected to'),
  flag('inbound-capture-port', 'z', 'inboundCapturePort', 'string', 'port that inbound TCP traffic is redirected to'),
  flag('inbound-tunnel-port', 'e', 'inboundTunnelPort', 'string', 'port of inbound tunnels, never captured'),
  flag('proxy-uid', 'u', 'proxyUid', 'string', 'uids whose traffic is not redirected'),
  flag('proxy-gid', 'g', 'proxyGid', 'string', 'gids whose traffic is not redirected (default: those of -u)'),
  flag('istio-inbound-interception-mode', 'm', 'inboundInterceptionMode', 'string', 'REDIRECT or TPROXY'),
  flag('istio-inbound-ports', 'b', 'inboundPortsInclude', 'string', 'inbound ports to capture, or *'),
  flag('istio-local-exclude-ports', 'd', 'inboundPortsExclude', 'string', 'inbound ports not to capture (with -b *)'),
  flag('istio-exclude-interfaces', 'c', 'excludeInterfaces', 'string', 'interfaces whose traffic is not captured'),
  flag('istio-service-cidr', 'i', 'outboundIpRangesInclude', 'string', 'outbound CIDRs to capture, or *'),
  flag('istio-service-exclude-cidr', 'x', 'outboundIpRangesExclude', 'string', 'outbound CIDRs not to capture'),
  flag('istio-outbound-ports', 'q', 'outboundPortsInclude', 'string', 'outbound ports to capture always'),
  flag('istio-local-outbound-ports-exclude', 'o', 'outboundPortsExclude', 'string', 'outbound ports not to capture'),
  flag('kube-virt-interfaces', 'k', 'rerouteVirtualInterfaces', 'string', 'interfaces whose inbound traffic is outbound'),
  flag('istio-inbound-tproxy-mark', 't', 'inboundTproxyMark', 'string', 'mark of captured packets in TPROXY mode'),
  flag('istio-inbound-tproxy-route-table', 'r', 'inboundTproxyRouteTable', 'string', 'routing table in TPROXY mode'),
  flag('dry-run', 'n', 'dryRun', 'bool', 'change nothing, only log'),
  flag('iptables-probe-port', '', 'iptablesProbePort', 'port', 'port that the validation connects to'),
  flag('probe-timeout', '', 'probeTimeoutMs', 'duration', 'time limit of the validation'),
  flag('skip-rule-apply', '', 'skipRuleApply', 'bool', 'apply no rules'),
  flag('run-validation', '', 'runValidation', 'bool', 'check that capture works'),
  flag('redirect-dns', '', 'redirectDns', 'bool', 'capture DNS', ['ISTIO_META_DNS_CAPTURE']),
  flag('drop-invalid', '', 'dropInvalid', 'bool', 'drop packets outside their window', ['INVALID_DROP']),
  flag('dual-stack', '', 'dualStack', 'bool', 'capture IPv4 and IPv6', ['ISTIO_DUAL_STACK']),
  flag('capture-all-dns', '', 'captureAllDns', 'bool', 'capture all of port 53, not only the servers of resolv.conf'),
  flag('network-namespace', '', 'networkNamespace', 'string', 'network namespace (used by the CNI plugin)'),
  flag('cni-mode', '', 'cniMode', 'bool', 'run as CNI plugin'),
  flag('reconcile', '', 'reconcile', 'bool', 'replace older rules that differ'),
  flag('cleanup-only', '', 'cleanupOnly', 'bool', 'remove the rules and apply none'),
  flag('force-apply', '', 'forceApply', 'bool', 'apply even if the rules seem to be in place'),
  flag('native-nftables', '', 'nativeNftables', 'bool', 'use nftables instead of iptables'),
  flag('force-iptables-binary', '', 'forceIptablesBinary', 'string', 'legacy or nft, instead of detection'),
];

/** Settings without a flag, and their variables. */
const environmentOnly: Partial<Record<keyof Config, string>> = {
  ownerGroupsInclude: 'ISTIO_OUTBOUND_OWNER_GROUPS',
  ownerGroupsExclude: 'ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE',
  hostIpv4LoopbackCidr: 'ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR',
};

/** Where a setting comes from, as a person would look it up: its flag, `-i, --istio-service-cidr`, or its variable. */
export function sourceOf(key: keyof Config): string {
  const known = flags.find(candidate => candidate.key === key);
  if (known === undefined) return environmentOnly[key] ?? key;
  return known.short === '' ? `--${known.name}` : `-${known.short}, --${known.name}`;
}

/** Flags of the log that take a value; the last three have no effect here. */
const logFlags = new Set(['log_output_level', 'log_target', 'log_stacktrace_level', 'log_caller', 'vklog']);
const parsers: Readonly<Record<Kind, (text: string) => string | boolean | number>> = {
  string: text => text,
  bool: parseBool,
  port: parsePort,
  duration: parseDuration,
};

/** Throws an Error where the text is no value of the flag's kind. */
function setValue(config: Config, { key, kind }: Flag, text: string): void {
  (config as Record<keyof Config, unknown>)[key] = parsers[kind](text);
}

/** Applies the environment; a value that cannot be parsed is passed over. */
export function applyEnvironment(config: Config, env: Environment): void {
  for (const known of flags) {
    for (const name of known.env) {
      const text = env[name];
      if (text === undefined) continue;
      try {
        setValue(config, known, text);
      } catch {
        // The default stands, as in the original.
      }
    }
  }
}

/** Applies the command line over `config` and `logOptions`; true if help was asked for. Throws an Error. */
export function applyArguments(config: Config, logOptions: LogOptions, argv: readonly string[]): boolean {
  const rest = [...argv];
  let help = false;
  const assign = (known: Flag, shown: string, text: string): void => {
    try {
      setValue(config, known, text);
    } catch (error) {
      throw new Error(`invalid argument ${JSON.stringify(text)} for "${shown}" flag: ${(error as Error).message}`);
    }
  };
  const readLong = (argument: string): void => {
    const equals = argument.indexOf('=');
    const name = argument.slice(2, equals < 0 ? undefined : equals);
    const inline = equals < 0 ? undefined : argument.slice(equals + 1);
    if (name === 'help') help = true;
    else if (name === 'log_as_json') logOptions.json = readBool(name, inline ?? 'true');
    else if (logFlags.has(name)) {
      const text = inline ?? takeValue(rest, `flag needs an argument: --${name}`);
      if (name === 'log_output_level') logOptions.outputLevel = text;
      else if (name === 'log_target') logOptions.targets.push(text);
    } else {
      const known = flags.find(candidate => candidate.name === name);
      if (!known) throw new Error(`unknown flag: --${name}`);
      const shown = sourceOf(known.key);
      if (known.kind === 'bool') assign(known, shown, inline ?? 'true');
      else assign(known, shown, inline ?? takeValue(rest, `flag needs an argument: --${name}`));
    }
  };
  const readShort = (argument: string): void => {
    for (let letters = argument.slice(1); letters !== ''; ) {
      const letter = letters[0];
      letters = letters.slice(1);
      const known = flags.find(candidate => candidate.short === letter);
      if (letter === 'h' && !known) {
        help = true;
        continue;
      }
      if (!known) throw new Error(`unknown shorthand flag: '${letter}' in ${argument}`);
      const shown = sourceOf(known.key);
      if (known.kind === 'bool' && !letters.startsWith('=')) {
        assign(known, shown, 'true');
        continue;
      }
      const inline = letters.startsWith('=') ? letters.slice(1) : letters === '' ? undefined : letters;
      assign(known, shown, inline ?? takeValue(rest, `flag needs an argument: '${letter}' in ${argument}`));
      return;
    }
  };
  for (let argument = rest.shift(); argument !== undefined; argument = rest.shift()) {
    if (argument === '--') break;
    if (argument.startsWith('--')) readLong(argument);
    else if (argument.length > 1 && argument.startsWith('-')) readShort(argument);
  }
  return help;
}

function readBool(name: string, text: string): boolean {
  try {
    return parseBool(text);
  } catch (error) {
    throw new Error(`invalid argument ${JSON.stringify(text)} for "--${name}" flag: ${(error as Error).message}`);
  }
}

function takeValue(rest: string[], message: string): string {
  const text = rest.shift();
  if (text === undefined) throw new Error(message);
  return text;
}

/** The text of `--help`. */
export function renderHelp(): string {
  const lines = flags.map(({ name, short, kind, usage }) => {
    const head = `${short === '' ? '    ' : `-${short}, `}--${name}${kind === 'bool' ? '' : ` ${kind === 'port' ? 'uint16' : kind}`}`;
    return `  ${head.padEnd(50)}${usage}`;
  });
  return [
    'istio-iptables is responsible for setting up port forwarding for Istio Sidecar.',
    '',
    'Usage:',
    '  pilot-agent istio-iptables [flags]',
    '',
    'Flags:',
    ...lines,
    '',
    'Every flag but -p is also read from the environment, by its name in capitals with underscores.',
    '',
  ].join('\n');
}
