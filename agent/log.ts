/**
 * The agent's log: lines in Istio's format, by scope and level.
 *
 * Source: istio.io/istio pkg/log; bug-report and fluent configurations parse these lines.
 */
import { closeSync, openSync, writeSync } from 'node:fs';

/** Istio's levels in falling order of severity. */
export const agentLogLevels = ['none', 'fatal', 'error', 'warn', 'info', 'debug'] as const;
export type AgentLogLevel = (typeof agentLogLevels)[number];

/** The scopes that `--log_output_level` may name. */
export const agentLogScopes = [
  'ads',
  'all',
  'ca',
  'cache',
  'citadelclient',
  'default',
  'dns',
  'gcecred',
  'grpc',
  'healthcheck',
  'klog',
  'mockcred',
  'monitoring',
  'probes',
  'sds',
  'security',
  'spiffe',
  'validation',
  'wasm',
  'xdsproxy',
] as const;
export type AgentLogScope = (typeof agentLogScopes)[number];

/** Values that follow a message as `key=value`. */
export type LogLabels = { readonly [key: string]: string | number | boolean | readonly string[] };

export type AgentLogOptions = {
  /** `scope:level,...` or a bare level for the default scope; empty is `default:info`. */
  readonly outputLevel: string;
  readonly json: boolean;
  /** `stdout`, `stderr` or file paths. */
  readonly targets: readonly string[];
};

const levelRanks: ReadonlyMap<string, number> = new Map(agentLogLevels.map((level, rank) => [level, rank]));
const infoRank = levelRanks.get('info') as number;
const state = { json: false, descriptors: [1], ranks: new Map<string, number>() };

/**
 * Applies the logging flags to every scope of the process.
 * @throws for an unknown level.
 */
export function configureAgentLog(options: AgentLogOptions): void {
  const ranks = new Map<string, number>();
  for (const part of options.outputLevel.split(',').filter(text => text !== '')) {
    const separator = part.indexOf(':');
    const scope = separator < 0 ? 'default' : part.slice(0, separator);
    const level = part.slice(separator + 1);
    const rank = levelRanks.get(level);
    if (rank === undefined) throw new Error(`invalid output level '${part}'`);
    // An unknown scope is accepted: scopes come and go between releases.
    ranks.set(scope, rank);
  }
  const targets = options.targets.map(target => (target === 'stdout' ? 1 : target === 'stderr' ? 2 : openSync(target, 'a')));
  for (const descriptor of state.descriptors) if (descriptor > 2) closeSync(descriptor);
  state.json = options.json;
  state.descriptors = targets.length === 0 ? [1] : targets;
  state.ranks = ranks;
}

/** Logs the events of one scope. */
export class AgentLogger {
  readonly #scope: AgentLogScope;

  constructor(scope: AgentLogScope) {
    this.#scope = scope;
  }

  isEnabled(level: AgentLogLevel): boolean {
    const threshold = state.ranks.get('all') ?? state.ranks.get(this.#scope) ?? state.ranks.get('default') ?? infoRank;
    return (levelRanks.get(level) as number) <= threshold;
  }

  debug(message: string, labels?: LogLabels): void {
    this.#log('debug', message, labels);
  }

  info(message: string, labels?: LogLabels): void {
    this.#log('info', message, labels);
  }

  warn(message: string, labels?: LogLabels): void {
    this.#log('warn', message, labels);
  }

  error(message: string, labels?: LogLabels): void {
    this.#log('error', message, labels);
  }

  #log(level: AgentLogLevel, message: string, labels: LogLabels | undefined): void {
    if (!this.isEnabled(level)) return;
    const scope = this.#scope === 'default' ? undefined : this.#scope;
    writeLine(state.json ? renderJson(level, scope, message, labels) : renderText(level, scope, message, labels));
  }
}

function renderText(level: AgentLogLevel, scope: string | undefined, message: string, labels: LogLabels | undefined): string {
  const prefix = `${renderTime()}\t${level}\t${scope === undefined ? '' : `${scope}\t`}`;
  if (labels === undefined) return prefix + message;
  const suffix = Object.entries(labels).map(([key, value]) => `${key}=${Array.isArray(value) ? `[${value.join(' ')}]` : value}`);
  return `${prefix}${message}\t${suffix.join(' ')}`;
}

function renderJson(level: AgentLogLevel, scope: string | undefined, message: string, labels: LogLabels | undefined): string {
  return JSON.stringify({ level, time: renderTime(), scope, msg: message, ...labels });
}

/** RFC 3339 in UTC with microseconds. */
function renderTime(): string {
  const nowMs = performance.timeOrigin + performance.now();
  const wholeMs = Math.floor(nowMs);
  const micros = Math.floor((nowMs - wholeMs) * 1000);
  return new Date(wholeMs).toISOString().replace('Z', `${String(micros).padStart(3, '0')}Z`);
}

function writeLine(line: string): void {
  for (const descriptor of state.descriptors) {
    try {
      writeSync(descriptor, `${line}\n`);
    } catch {
      // The target is gone or full: a log line is not worth a crash.
    }
  }
}
