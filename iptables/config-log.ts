/** Environment and effective configuration, as support tools look for them in the init container's log. */
import type { Config, Environment } from './config.ts';
import { log } from './log.ts';

const variables = [
  ...['ENVOY_PORT', 'INBOUND_CAPTURE_PORT', 'ISTIO_INBOUND_INTERCEPTION_MODE', 'ISTIO_INBOUND_TPROXY_ROUTE_TABLE'],
  ...['ISTIO_INBOUND_PORTS', 'ISTIO_OUTBOUND_PORTS', 'ISTIO_LOCAL_EXCLUDE_PORTS', 'ISTIO_EXCLUDE_INTERFACES'],
  ...['ISTIO_SERVICE_CIDR', 'ISTIO_SERVICE_EXCLUDE_CIDR', 'ISTIO_META_DNS_CAPTURE', 'INVALID_DROP'],
];

/** `tool` is how the log names the kind of rules. */
export function logConfig(config: Config, env: Environment, tool: 'iptables' | 'nftables'): void {
  log.info(`Istio ${tool} environment:\n${variables.map(name => `${name}=${env[name] ?? ''}\n`).join('')}`);
  const servers = [config.dnsServersV4, config.dnsServersV6].map(list => `[${list.join(' ')}]`).join(',');
  const values: readonly (readonly [string, string | boolean])[] = [
    ['PROXY_PORT', config.proxyPort],
    ['PROXY_INBOUND_CAPTURE_PORT', config.inboundCapturePort],
    ['PROXY_TUNNEL_PORT', config.inboundTunnelPort],
    ['PROXY_UID', config.proxyUid],
    ['PROXY_GID', config.proxyGid],
    ['INBOUND_INTERCEPTION_MODE', config.inboundInterceptionMode],
    ['INBOUND_TPROXY_MARK', config.inboundTproxyMark],
    ['INBOUND_TPROXY_ROUTE_TABLE', config.inboundTproxyRouteTable],
    ['INBOUND_PORTS_INCLUDE', config.inboundPortsInclude],
    ['INBOUND_PORTS_EXCLUDE', config.inboundPortsExclude],
    ['OUTBOUND_OWNER_GROUPS_INCLUDE', config.ownerGroupsInclude],
    ['OUTBOUND_OWNER_GROUPS_EXCLUDE', config.ownerGroupsExclude],
    ['OUTBOUND_IP_RANGES_INCLUDE', config.outboundIpRangesInclude],
    ['OUTBOUND_IP_RANGES_EXCLUDE', config.outboundIpRangesExclude],
    ['OUTBOUND_PORTS_INCLUDE', config.outboundPortsInclude],
    ['OUTBOUND_PORTS_EXCLUDE', config.outboundPortsExclude],
    ['KUBE_VIRT_INTERFACES', config.rerouteVirtualInterfaces],
    ['ENABLE_INBOUND_IPV6', config.enableIpv6],
    ['DUAL_STACK', config.dualStack],
    ['DNS_CAPTURE', config.redirectDns],
    ['DROP_INVALID', config.dropInvalid],
    ['CAPTURE_ALL_DNS', config.captureAllDns],
    ['DNS_SERVERS', servers],
    ['NETWORK_NAMESPACE', config.networkNamespace],
    ['CNI_MODE', config.cniMode],
    ['EXCLUDE_INTERFACES', config.excludeInterfaces],
    ['RECONCILE', config.reconcile],
    ['CLEANUP_ONLY', config.cleanupOnly],
    ['FORCE_APPLY', config.forceApply],
    ['NATIVE_NFTABLES', config.nativeNftables],
    ['FORCE_IPTABLES_BINARY', config.forceIptablesBinary],
  ];
  log.info(`Istio config:\n${values.map(([name, value]) => `${name}=${value}\n`).join('')}`);
}
