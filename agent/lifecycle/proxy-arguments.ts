/**
 * The proxy's command line.
 *
 * Source: istio.io/istio pkg/envoy/proxy.go.
 */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { AgentLogger } from '../log.ts';
import type { AddressFamily } from '../config/addresses.ts';
import type { Environment } from '../config/environment.ts';
import { durationMs, type ProxyConfig } from '../config/proxy-config.ts';

const log = new AgentLogger('default');

const defaultFileFlushIntervalMs = 1000;

export type ProxyArgumentSources = {
  readonly configPath: string;
  readonly proxyConfig: ProxyConfig;
  readonly environment: Environment;
  readonly family: AddressFamily;
  /** `--proxyLogLevel`: a level, scopes (`upstream:debug`), or both separated by commas. */
  readonly logLevel: string;
  readonly componentLogLevel: string;
};

export function buildProxyArguments(sources: ProxyArgumentSources): readonly string[] {
  const { configPath, proxyConfig, environment, family } = sources;
  const flushMs = durationMs(proxyConfig.fileFlushInterval, defaultFileFlushIntervalMs);
  return [
    '-c',
    configPath,
    '--drain-time-s',
    String(Math.floor(durationMs(proxyConfig.drainDuration, 0) / 1000)),
    '--drain-strategy',
    'immediate',
    '--local-address-ip-version',
    family === 'v6' ? 'v6' : 'v4',
    '--file-flush-interval-msec',
    String(Math.floor(flushMs)),
    '--disable-hot-restart',
    '--allow-unknown-static-fields',
    ...((proxyConfig.fileFlushMinSizeKb ?? 0) > 0 ? ['--file-flush-min-size-kb', String(proxyConfig.fileFlushMinSizeKb)] : []),
    ...buildLogArguments(sources),
    ...(environment.envoySkipDeprecatedLogs ? ['--skip-deprecated-logs'] : []),
    ...(environment.coreDump ? ['--enable-core-dump'] : []),
    ...buildOverride(environment),
    ...((proxyConfig.concurrency ?? 0) > 0 ? ['--concurrency', String(proxyConfig.concurrency)] : []),
  ];
}

function buildLogArguments({ logLevel, componentLogLevel }: ProxyArgumentSources): readonly string[] {
  let level = '';
  const scopes: string[] = [];
  for (const part of logLevel.split(',')) {
    const colons = part.split(':').length - 1;
    if (colons === 0) level = part;
    else if (colons === 1) scopes.push(part);
    else log.warn(`dropping invalid log level: ${part}`);
  }
  const components = scopes.length > 0 ? scopes.join(',') : componentLogLevel;
  return [...(level === '' ? [] : ['-l', level]), ...(components === '' ? [] : ['--component-log-level', components])];
}

/** A user's own pieces of bootstrap, merged by the proxy; `$(HOST_IP)` in it stands for the node's address. */
function buildOverride({ bootstrapOverride, hostIp }: Environment): readonly string[] {
  if (bootstrapOverride === '') return [];
  try {
    let text = readFileSync(bootstrapOverride, 'utf8');
    const host = hostIp.includes(':') ? `[${hostIp}]` : hostIp;
    if (hostIp.includes(':')) text = text.replaceAll('[$(HOST_IP)]', host);
    return ['--config-yaml', JSON.stringify(parse(text.replaceAll('$(HOST_IP)', host)))];
  } catch (error) {
    log.warn(`Failed to read bootstrap override: ${(error as Error).message}`);
    return [];
  }
}
