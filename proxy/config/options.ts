/**
 * Envoy's command line. Every flag that Envoy 1.40 takes is taken; those whose subject does not exist here (hot restart, core
 * dumps, the format of log lines) are without effect.
 *
 * Source: Envoy's OptionsImpl; the texts of errors are those of its parser.
 */
import { isLogComponent, isLogLevel, type LogLevel } from '../../common/log.ts';

export interface ProxyOptions {
  /** Empty: no file. */
  readonly configPath: string;
  /** JSON or YAML that is merged over the file; empty: none. */
  readonly configYaml: string;
  readonly mode: 'serve' | 'validate';
  /** Workers; null: one per processor. */
  readonly concurrency: number | null;
  readonly logLevel: LogLevel;
  readonly componentLogLevels: { readonly [component: string]: LogLevel };
  /** File that takes the log instead of standard error; empty: none. */
  readonly logPath: string;
  /** As given, for server_info; empty: the default. */
  readonly logFormat: string;
  readonly drainTimeMs: number;
  readonly drainStrategy: 'gradual' | 'immediate';
  readonly parentShutdownTimeMs: number;
  readonly localAddressIpVersion: 'v4' | 'v6';
  readonly fileFlushIntervalMs: number;
  readonly fileFlushMinBytes: number;
  /** Replace what the bootstrap's node says; empty: as it says. */
  readonly serviceNode: string;
  readonly serviceCluster: string;
  readonly serviceZone: string;
  readonly allowUnknownStaticFields: boolean;
  readonly rejectUnknownDynamicFields: boolean;
  readonly ignoreUnknownDynamicFields: boolean;
  readonly skipDeprecatedLogs: boolean;
  /** File that the admin address is written to; empty: none. */
  readonly adminAddressPath: string;
  readonly baseId: number;
  readonly restartEpoch: number;
  readonly disableHotRestart: boolean;
}

/** What the command line asks for. */
export type ParsedCommandLine =
  | { readonly kind: 'run'; readonly options: ProxyOptions }
  | { readonly kind: 'help' | 'version' | 'hot-restart-version' };

/** A wrong command line; the message is what goes to standard error. */
export class OptionsError extends Error {}

type FlagKind = 'switch' | 'text' | 'number' | 'list';

/** Name to kind, in the order of Envoy's usage text. */
export const flags: { readonly [name: string]: FlagKind } = {
  'stats-tag': 'list',
  'enable-core-dump': 'switch',
  'socket-mode': 'text',
  'socket-path': 'text',
  'disable-extensions': 'text',
  'cpuset-threads': 'switch',
  'enable-mutex-tracing': 'switch',
  'disable-hot-restart': 'switch',
  mode: 'text',
  'parent-shutdown-time-s': 'number',
  'drain-strategy': 'text',
  'drain-time-s': 'number',
  'file-flush-min-size-kb': 'number',
  'file-flush-interval-msec': 'number',
  'service-zone': 'text',
  'service-node': 'text',
  'service-cluster': 'text',
  'hot-restart-version': 'switch',
  'restart-epoch': 'number',
  'log-path': 'text',
  'enable-fine-grain-logging': 'switch',
  'log-format-escaped': 'switch',
  'log-format': 'text',
  'component-log-level': 'text',
  'log-level': 'text',
  'local-address-ip-version': 'text',
  'admin-address-path': 'text',
  'log-stacktrace-single-entry': 'switch',
  'skip-deprecated-logs': 'switch',
  'ignore-unknown-dynamic-fields': 'switch',
  'reject-unknown-dynamic-fields': 'switch',
  'allow-unknown-static-fields': 'switch',
  'allow-unknown-fields': 'switch',
  'config-yaml': 'text',
  'config-path': 'text',
  concurrency: 'number',
  'base-id-path': 'text',
  'skip-hot-restart-parent-stats': 'switch',
  'skip-hot-restart-on-no-parent': 'switch',
  'use-dynamic-base-id': 'switch',
  'base-id': 'number',
  'bootstrap-version': 'number',
  version: 'switch',
  help: 'switch',
};

const shortNames: { readonly [short: string]: string } = { c: 'config-path', l: 'log-level', h: 'help' };
const maxNumber = 2 ** 32 - 1;

/** Envoy's defaults. */
const defaults = {
  drainTimeS: 600,
  parentShutdownTimeS: 900,
  fileFlushIntervalMs: 10_000,
  fileFlushMinKb: 64,
} as const;

/**
 * @param argv without the program's name.
 * @throws OptionsError
 */
export function parseOptions(argv: readonly string[]): ParsedCommandLine {
  const values = readFlags(argv);
  if (values.has('help')) return { kind: 'help' };
  if (values.has('version')) return { kind: 'version' };
  if (values.has('hot-restart-version')) return { kind: 'hot-restart-version' };
  return { kind: 'run', options: toOptions(values) };
}

function parseError(name: string, problem: string): OptionsError {
  return new OptionsError(
    `PARSE ERROR: Argument: ${name}\n             ${problem}\n\nFor complete USAGE and HELP type: \n   envoy --help\n\n${name} -- ${problem}`,
  );
}

function readFlags(argv: readonly string[]): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i];
    if (argument === '--') break;
    const [, dashes, given, , inline] = /^(--?)([^=]+)(=(.*))?$/s.exec(argument) ?? [];
    const name = dashes === '-' ? shortNames[given] : given;
    const kind = name === undefined ? undefined : flags[name];
    if (name === undefined || kind === undefined) throw parseError(argument, "Couldn't find match for argument");
    if (values.has(name) && kind !== 'list') throw parseError(`(--${name})`, 'Argument already set!');
    if (kind === 'switch') {
      values.set(name, 'true');
      continue;
    }
    const value = inline ?? argv[++i];
    if (value === undefined) throw parseError(`(--${name})`, 'Missing a value for this argument!');
    if (kind === 'number' && !(/^\d+$/.test(value) && Number(value) <= maxNumber)) {
      throw parseError(`(--${name})`, `Couldn't read argument value from string '${value}'`);
    }
    values.set(name, value);
  }
  return values;
}

function oneOf<T extends string>(value: string, allowed: readonly T[], what: string): T {
  const found = allowed.find(candidate => candidate === value);
  if (found === undefined) throw new OptionsError(`error: ${what} '${value}'`);
  return found;
}

/** Envoy writes `warning` and takes `warn` as well. */
function readLogLevel(text: string): LogLevel {
  const level = text === 'warn' ? 'warning' : text;
  if (!isLogLevel(level)) throw new OptionsError(`error: invalid log level specified '${text}'`);
  return level;
}

function readComponentLevels(text: string): { [component: string]: LogLevel } {
  const levels: { [component: string]: LogLevel } = {};
  for (const entry of text === '' ? [] : text.split(',')) {
    const parts = entry.split(':');
    if (parts.length !== 2) throw new OptionsError(`error: component log level not correctly specified '${entry}'`);
    const level = readLogLevel(parts[1]);
    // Envoy's list of components is longer: what logs nothing here needs no level.
    if (isLogComponent(parts[0])) levels[parts[0]] = level;
  }
  return levels;
}

function toOptions(values: ReadonlyMap<string, string>): ProxyOptions {
  const text = (name: string): string => values.get(name) ?? '';
  const number = (name: string, fallback: number): number => Number(values.get(name) ?? fallback);
  const given = (name: string): boolean => values.has(name);
  return {
    configPath: text('config-path'),
    configYaml: text('config-yaml'),
    mode: oneOf(values.get('mode') ?? 'serve', ['serve', 'validate'], 'unknown mode'),
    concurrency: given('concurrency') ? number('concurrency', 0) : null,
    logLevel: readLogLevel(values.get('log-level') ?? 'info'),
    componentLogLevels: readComponentLevels(text('component-log-level')),
    logPath: text('log-path'),
    logFormat: text('log-format'),
    drainTimeMs: number('drain-time-s', defaults.drainTimeS) * 1000,
    drainStrategy: oneOf(values.get('drain-strategy') ?? 'gradual', ['gradual', 'immediate'], 'unknown drain-strategy'),
    parentShutdownTimeMs: number('parent-shutdown-time-s', defaults.parentShutdownTimeS) * 1000,
    localAddressIpVersion: oneOf(values.get('local-address-ip-version') ?? 'v4', ['v4', 'v6'], 'unknown IP address version'),
    fileFlushIntervalMs: number('file-flush-interval-msec', defaults.fileFlushIntervalMs),
    fileFlushMinBytes: number('file-flush-min-size-kb', defaults.fileFlushMinKb) * 1024,
    serviceNode: text('service-node'),
    serviceCluster: text('service-cluster'),
    serviceZone: text('service-zone'),
    allowUnknownStaticFields: given('allow-unknown-static-fields') || given('allow-unknown-fields'),
    rejectUnknownDynamicFields: given('reject-unknown-dynamic-fields'),
    ignoreUnknownDynamicFields: given('ignore-unknown-dynamic-fields'),
    skipDeprecatedLogs: given('skip-deprecated-logs'),
    adminAddressPath: text('admin-address-path'),
    baseId: number('base-id', 0),
    restartEpoch: number('restart-epoch', 0),
    disableHotRestart: given('disable-hot-restart'),
  };
}
