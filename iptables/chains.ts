/** Names and addresses that the capture rules share. */
import { ports } from '../common/ports.ts';
import type { Config } from './config.ts';
import type { Versioned } from './rule-set.ts';

export const chains = {
  output: 'ISTIO_OUTPUT',
  outputDns: 'ISTIO_OUTPUT_DNS',
  inbound: 'ISTIO_INBOUND',
  divert: 'ISTIO_DIVERT',
  tproxy: 'ISTIO_TPROXY',
  redirect: 'ISTIO_REDIRECT',
  inRedirect: 'ISTIO_IN_REDIRECT',
  drop: 'ISTIO_DROP',
} as const;

/** The source of connections from the inbound listener to the application. */
export const passthroughSource: Versioned = { v4: '127.0.0.6/32', v6: '::6/128' };

/** In TPROXY mode: marks what the proxy sends to its own pod's address, so that it passes the inbound listener. */
export const outboundMark = '1338';

/** True where the packet keeps its destination and is marked instead of rewritten. */
export function isTproxy(config: Config): boolean {
  return config.inboundInterceptionMode === 'TPROXY';
}

export function loopbackOf(config: Config): Versioned {
  return { v4: config.hostIpv4LoopbackCidr, v6: '::1/128' };
}

/** DNS is captured if asked for and if there is something to capture. */
export function capturesDns(config: Config): boolean {
  return config.redirectDns && (config.captureAllDns || config.dnsServersV4.length + config.dnsServersV6.length > 0);
}

/** The port that the agent's DNS proxy listens on, as rules name it. */
export const agentDnsPort = String(ports.dns);
