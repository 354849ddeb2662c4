/**
 * Refuses a ProxyConfig with which neither agent nor proxy could work.
 *
 * Source: ValidateMeshConfigProxyConfig in istio.io/istio pkg/config/validation/agent.
 */
import { isIP } from 'node:net';
import { durationMs } from './proxy-config.ts';
import type { JsonObject } from './proto-json.ts';

/**
 * Checks the merged configuration.
 * @throws an error that lists every violation.
 */
export function validateProxyConfig(config: JsonObject): void {
  const violations: string[] = [];
  if (config.configPath === undefined) violations.push('config path must be set');
  if (config.binaryPath === undefined) violations.push('binary path must be set');
  if (config.serviceCluster === undefined && config.tracingServiceName === undefined) {
    violations.push('oneof service cluster or tracing service name must be specified');
  } else if (config.serviceCluster === '') violations.push('service cluster must be specified');
  violations.push(...findDrainViolations(config.drainDuration as string | undefined));
  if (config.discoveryAddress === undefined) {
    violations.push('discovery address must be set to the proxy discovery service');
  } else addViolation(violations, 'invalid discovery address:', config.discoveryAddress);
  const tracing = (config.tracing ?? {}) as JsonObject;
  for (const tracer of ['lightstep', 'zipkin', 'datadog']) {
    const collector = tracing[tracer] as JsonObject | undefined;
    if (collector !== undefined) addViolation(violations, `invalid ${tracer} config:`, collector.address ?? '');
  }
  if (config.statsdUdpAddress !== undefined) {
    addViolation(violations, `invalid statsd udp address ${JSON.stringify(config.statsdUdpAddress)}:`, config.statsdUdpAddress);
  }
  for (const [name, title] of [
    ['envoyMetricsService', 'envoy metrics service'],
    ['envoyAccessLogService', 'envoy access log service'],
  ]) {
    const address = (config[name] as JsonObject | undefined)?.address;
    if (address !== undefined) addViolation(violations, `invalid ${title} address ${JSON.stringify(address)}:`, address);
  }
  addPortViolation(violations, 'invalid proxy admin port:', config.proxyAdminPort);
  if (config.controlPlaneAuthPolicy !== undefined && config.controlPlaneAuthPolicy !== 'MUTUAL_TLS') {
    violations.push(`invalid authentication policy: unrecognized control plane auth policy "${config.controlPlaneAuthPolicy}"`);
  }
  addPortViolation(violations, 'invalid status port:', config.statusPort);
  if (violations.length === 0) return;
  const plural = violations.length === 1 ? '1 error' : `${violations.length} errors`;
  throw new Error(`${plural} occurred:\n\t* ${violations.join('\n\t* ')}\n\n`);
}

function findDrainViolations(drainDuration: string | undefined): string[] {
  const drainMs = durationMs(drainDuration, 0);
  if (drainMs < 1) return ['invalid drain duration: duration must be greater than 1ms'];
  if (!Number.isInteger(drainMs)) return ['invalid drain duration: only durations to ms precision are supported'];
  return drainMs % 1000 === 0 ? [] : ['drain time only supports durations to seconds precision'];
}

function addViolation(violations: string[], prefix: string, address: unknown): void {
  const violation = findAddressViolation(String(address).replace('$(HOST_IP)', '127.0.0.1'));
  if (violation !== null) violations.push(`${prefix} ${violation}`);
}

function addPortViolation(violations: string[], prefix: string, port: unknown): void {
  const violation = findPortViolation(Number(port ?? 0));
  if (violation !== null) violations.push(`${prefix} ${violation}`);
}

function findPortViolation(port: number): string | null {
  return port >= 1 && port <= 65535 ? null : `port number ${port} must be in the range 1..65535`;
}

const labelPattern = /^[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$/;

function findAddressViolation(address: string): string | null {
  const parts = splitHostPort(address);
  if (parts === null) return `unable to split ${JSON.stringify(address)}: address ${address}: missing port in address`;
  if (!/^[-+]?\d+$/.test(parts.port)) return `port (${parts.port}) is not a number`;
  const violation = findPortViolation(Number(parts.port));
  if (violation !== null) return violation;
  if (isIP(parts.host) !== 0) return null;
  const valid = parts.host !== '' && parts.host.length <= 255 && parts.host.replace(/\.$/, '').split('.').every(isLabel);
  return valid ? null : `${JSON.stringify(parts.host)} is not a valid hostname or an IP address`;
}

function isLabel(label: string): boolean {
  return labelPattern.test(label);
}

/** Splits `host:port` and `[host]:port`; null if there is no port. */
export function splitHostPort(address: string): { readonly host: string; readonly port: string } | null {
  const bracketed = /^\[([^\]]*)\]:(.*)$/.exec(address);
  if (bracketed !== null) return { host: bracketed[1], port: bracketed[2] };
  const separator = address.lastIndexOf(':');
  if (separator < 0 || address.indexOf(':') !== separator) return null;
  return { host: address.slice(0, separator), port: address.slice(separator + 1) };
}
