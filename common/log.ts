/**
 * The proxy's log: lines in Envoy's format on standard error or in a file, by component and level. The agent logs in Istio's format
 * (agent/log.ts).
 *
 * Source: Envoy's application logging, and istioctl's log processor, which parses these lines.
 */
import { closeSync, openSync, writeSync } from 'node:fs';

/** Envoy's levels in rising order. */
export const logLevels = ['trace', 'debug', 'info', 'warning', 'error', 'critical', 'off'] as const;
export type LogLevel = (typeof logLevels)[number];

/** Envoy's components (it calls them loggers), in the order of `/logging`; most have nothing to say here. */
export const logComponents = [
  'a2a',
  'admin',
  'ai_protocol_manager',
  'alternate_protocols_cache',
  'aws',
  'assert',
  'backtrace',
  'basic_auth',
  'cache_filter',
  'client',
  'config',
  'connection',
  'conn_handler',
  'compression',
  'credential_injector',
  'decompression',
  'dns',
  'dubbo',
  'envoy_bug',
  'ext_authz',
  'ext_proc',
  'rocketmq',
  'file',
  'filter',
  'forward_proxy',
  'geolocation',
  'grpc',
  'happy_eyeballs',
  'hc',
  'health_checker',
  'http',
  'http2',
  'hystrix',
  'init',
  'io',
  'jwt',
  'json_rpc',
  'kafka',
  'key_value_store',
  'lua',
  'local_rate_limit',
  'main',
  'matcher',
  'mcp',
  'misc',
  'mongo',
  'multi_connection',
  'notification',
  'oauth2',
  'quic',
  'quic_stream',
  'pool',
  'rate_limit_quota',
  'rbac',
  'rds',
  'redis',
  'router',
  'runtime',
  'stats',
  'secret',
  'sse',
  'tap',
  'testing',
  'thrift',
  'tracing',
  'upstream',
  'udp',
  'wasm',
  'websocket',
  'golang',
  'stats_sinks',
  'dynamic_modules',
  'ip_tagging',
] as const;
export type LogComponent = (typeof logComponents)[number];

type Severity = Exclude<LogLevel, 'off'>;
type JsonPrefix = { readonly json: boolean };

const ranks: Readonly<Record<LogLevel, number>> = Object.fromEntries(logLevels.map((level, rank) => [level, rank])) as never;
const thresholds = new Map<LogComponent, number>(logComponents.map(component => [component, ranks.info]));
const standardError = 2;
const settings: { threadName: string; format: JsonPrefix; path: string; fd: number } = {
  threadName: 'main',
  format: { json: false },
  path: '',
  fd: standardError,
};

/** True for a level that this process knows. */
export function isLogLevel(text: string): text is LogLevel {
  return (logLevels as readonly string[]).includes(text);
}

/** True for a component that this process knows. */
export function isLogComponent(text: string): text is LogComponent {
  return (logComponents as readonly string[]).includes(text);
}

/** Sets the threshold of every component, then those of `components`; names and levels must be known. */
export function setLogLevels(level: LogLevel, components: { readonly [component: string]: string } = {}): void {
  for (const component of logComponents) thresholds.set(component, ranks[level]);
  for (const [component, own] of Object.entries(components)) setComponentLogLevel(component as LogComponent, own as LogLevel);
}

/** Sets one component's threshold. */
export function setComponentLogLevel(component: LogComponent, level: LogLevel): void {
  thresholds.set(component, ranks[level]);
}

/** Component to level, in the order of `/logging`. */
export function currentLogLevels(): ReadonlyMap<LogComponent, LogLevel> {
  return new Map([...thresholds].map(([component, rank]) => [component, logLevels[rank]]));
}

/** How this thread signs its lines, and whether they are JSON (`--log_as_json` of the agent). */
export function configureLog(threadName: string, json: boolean): void {
  settings.threadName = threadName;
  settings.format = { json };
}

/**
 * Sends this thread's lines to the end of a file, which is made if it does not exist.
 * @throws if it cannot be opened.
 */
export function setLogFile(path: string): void {
  const fd = openSync(path, 'a', 0o644);
  if (settings.fd !== standardError) closeSync(settings.fd);
  settings.fd = fd;
  settings.path = path;
}

/** After the file was moved away: lines go to a new one of its name. Lines that go nowhere else stay where they are. */
export function reopenLogFile(): void {
  if (settings.fd === standardError) return;
  try {
    setLogFile(settings.path);
  } catch {
    // The old file is better than none.
  }
}

/** Logs one component's events. Message builders run only when the level is on. */
export class Logger {
  readonly #component: LogComponent;
  constructor(component: LogComponent) {
    this.#component = component;
  }
  isEnabled(level: Severity): boolean {
    return ranks[level] >= (thresholds.get(this.#component) as number);
  }
  log(level: Severity, message: string | (() => string)): void {
    if (!this.isEnabled(level)) return;
    writeLine(level, this.#component, typeof message === 'string' ? message : message());
  }
  trace(message: string | (() => string)): void {
    this.log('trace', message);
  }
  debug(message: string | (() => string)): void {
    this.log('debug', message);
  }
  info(message: string | (() => string)): void {
    this.log('info', message);
  }
  warn(message: string | (() => string)): void {
    this.log('warning', message);
  }
  error(message: string | (() => string)): void {
    this.log('error', message);
  }
  critical(message: string | (() => string)): void {
    this.log('critical', message);
  }
}

function writeLine(level: Severity, component: LogComponent, message: string): void {
  const time = new Date().toISOString().replace('Z', '000Z');
  const line = settings.format.json
    ? JSON.stringify({ level, time, scope: `envoy ${component}`, msg: message, thread: settings.threadName })
    : `${time}\t${level}\tenvoy ${component}\t${message}\tthread=${settings.threadName}`;
  try {
    writeSync(settings.fd, `${line}\n`);
  } catch {
    // The file or standard error is gone or full: a log line is not worth a crash.
  }
}
