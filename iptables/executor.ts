/**
 * The one place that runs commands: iptables in the variant that fits this network namespace, `ip`, and `nft`. The dry-run executor
 * runs nothing and records.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { explainCause } from './failure.ts';
import { sourceOf } from './flags.ts';
import { log } from './log.ts';

/** The binaries of one IP version, and how they want to be called. An empty name: none was found. */
export type IptablesVersion = { readonly binary: string; readonly legacy: boolean; readonly hasRules: boolean };
export type IptablesTool = 'iptables' | 'save' | 'restore';

export type CommandResult = { readonly ok: boolean; readonly stdout: string; readonly stderr: string };

export type Executor = {
  /** Finds the binaries. Throws an Error if none can be used. */
  detect(ipv6: boolean): IptablesVersion;
  run(version: IptablesVersion, tool: IptablesTool, args: readonly string[], stdin?: string): CommandResult;
  /** Runs `ip` or `nft`. */
  runTool(command: 'ip' | 'nft', args: readonly string[], stdin?: string): CommandResult;
};

/** Seconds that a legacy iptables waits for its lock; the nft variant has none. */
const lockWaitFlag = '--wait=30';
const lockingSince = [1, 6, 2];
const exitTypes: Readonly<Record<number, string>> = {
  1: 'xtables other problem',
  2: 'xtables parameter problem',
  3: 'xtables version problem',
  4: 'xtables resource problem',
};

export function binaryOf(version: IptablesVersion, tool: IptablesTool): string {
  return version.binary === '' || tool === 'iptables' ? version.binary : `${version.binary}-${tool}`;
}

/** Records what would run, in the file named by DRY_RUN_FILE_PATH if that is not empty. Existing text beyond is not cut off. */
export class DryRunExecutor implements Executor {
  readonly lines: string[] = [];
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  detect(ipv6: boolean): IptablesVersion {
    return { binary: ipv6 ? 'ip6tables' : 'iptables', legacy: false, hasRules: false };
  }

  run(version: IptablesVersion, tool: IptablesTool, args: readonly string[], stdin?: string): CommandResult {
    if (stdin === undefined) this.lines.push([binaryOf(version, tool), ...args].join(' '));
    else this.lines.push(...stdin.split('\n').slice(0, stdin.endsWith('\n') ? -1 : undefined));
    this.#save();
    return { ok: true, stdout: '', stderr: '' };
  }

  runTool(command: 'ip' | 'nft', args: readonly string[], stdin?: string): CommandResult {
    this.lines.push([command, ...args].join(' '), ...(stdin === undefined ? [] : stdin.trimEnd().split('\n')));
    this.#save();
    return { ok: true, stdout: '', stderr: '' };
  }

  #save(): void {
    if (this.#path === '') return;
    try {
      const file = openSync(this.#path, constants.O_CREAT | constants.O_WRONLY, 0o644);
      writeSync(file, this.lines.map(line => `${line}\n`).join(''));
      closeSync(file);
    } catch (error) {
      log.debug(`unable to write dry run output file ${this.#path}: ${(error as Error).message}`);
    }
  }
}

/** Runs in this network namespace. */
export class SystemExecutor implements Executor {
  readonly #forcedBinary: string;

  /** `forcedBinary` is `legacy`, `nft`, or empty. */
  constructor(forcedBinary: string) {
    this.#forcedBinary = forcedBinary;
  }

  detect(ipv6: boolean): IptablesVersion {
    const plain = ipv6 ? 'ip6tables' : 'iptables';
    if (this.#forcedBinary !== '') return probeForced(`${plain}-${this.#forcedBinary}`);
    const legacy = tryProbe(`${plain}-legacy`);
    const nft = tryProbe(`${plain}-nft`);
    if (!legacy?.hasRules) return nft ?? probeBinary(plain);
    if (nft?.hasRules) {
      log.warn(`both ${plain}-legacy and ${plain}-nft hold rules: using legacy; --force-iptables-binary chooses another`);
    }
    return legacy;
  }

  run(version: IptablesVersion, tool: IptablesTool, args: readonly string[], stdin?: string): CommandResult {
    const binary = binaryOf(version, tool);
    if (binary === '') return { ok: false, stdout: '', stderr: 'called without iptables binary, cannot execute' };
    return spawn(binary, tool !== 'save' && version.legacy ? [...args, lockWaitFlag] : args, stdin);
  }

  runTool(command: 'ip' | 'nft', args: readonly string[], stdin?: string): CommandResult {
    return spawn(command, args, stdin);
  }
}

function spawn(command: string, args: readonly string[], stdin?: string): CommandResult {
  log.debug(`Running command: ${[command, ...args].join(' ')}`);
  const result = spawnSync(command, args, { input: stdin ?? '', encoding: 'utf8', maxBuffer: 64 << 20 });
  const error = result.error as (Error & { code?: string }) | undefined;
  // A tool that ends before it has read everything says itself why.
  if (error && error.code !== 'EPIPE') return { ok: false, stdout: '', stderr: explainSpawn(command, error) };
  const isXtables = command.includes('tables') && result.status !== 0;
  const stderr = isXtables ? nameKind(result.status, result.stderr) : result.stderr;
  return { ok: result.status === 0, stdout: result.stdout, stderr };
}

function explainSpawn(command: string, error: Error & { code?: string }): string {
  if (error.code === 'ENOENT') return `exec: "${command}": executable file not found in $PATH`;
  return `exec: "${command}": ${error.message}`;
}

/** Puts the kind of failure, which iptables tells by its exit code, in place of the program's name and version. */
function nameKind(status: number | null, stderr: string): string {
  const kind = exitTypes[status ?? -1];
  if (kind === undefined) return stderr.trim() || `exit status ${status}`;
  const colon = stderr.indexOf(':');
  return `${kind}: ${(colon < 0 ? stderr : stderr.slice(colon + 1)).trim()}`;
}

function probeForced(binary: string): IptablesVersion {
  try {
    return probeBinary(binary);
  } catch (error) {
    throw new Error(`${(error as Error).message} (from ${sourceOf('forceIptablesBinary')})`);
  }
}

function tryProbe(binary: string): IptablesVersion | null {
  try {
    return probeBinary(binary);
  } catch (error) {
    log.debug(`did not find (or cannot use) iptables binary, error was ${(error as Error).message}`);
    return null;
  }
}

/**
 * Usable means: it is there, and the kernel takes a rule from it. The rule (of a protocol number that nobody uses) goes at once.
 *
 * Differs from Istio: rules are there if the save tool prints one. The original counts lines, and takes the empty legacy table that
 * this very probe leaves behind for rules, so that its second run applies everything once more in the other variant.
 */
function probeBinary(binary: string): IptablesVersion {
  const saved = spawn(`${binary}-save`, []);
  if (!saved.ok) throw new Error(`failed to execute ${binary}-save: ${explainCause(saved.stderr)}`);
  const version = spawn(`${binary}-save`, ['--version']);
  const tellsVersion = version.ok && !version.stderr.includes('unrecognized option');
  const match = /v([0-9]+(?:\.[0-9]+)+)/.exec(version.stdout);
  if (tellsVersion && match === null) throw new Error(`no iptables version found for: ${JSON.stringify(version.stdout)}`);
  const isNft = tellsVersion && version.stdout.includes('nf_tables');
  const legacy = !isNft && tellsVersion && hasLocking((match as RegExpExecArray)[1]);
  const rule = ['INPUT', '-p', '255', '-j', 'RETURN', ...(legacy ? [lockWaitFlag] : [])];
  const added = spawn(binary, ['-t', 'nat', '-A', ...rule]);
  if (!added.ok || added.stderr.includes('does not exist')) {
    const reason = explainCause(added.stderr);
    throw new Error(`iptables binary ${binary} has no loaded kernel support and cannot be used: ${reason}`);
  }
  spawn(binary, ['-t', 'nat', '-D', ...rule]);
  return { binary, legacy, hasRules: /^-A /m.test(saved.stdout) };
}

function hasLocking(version: string): boolean {
  const parts = version.split('.').map(Number);
  for (const [index, since] of lockingSince.entries()) {
    const part = parts[index] ?? 0;
    if (part !== since) return part > since;
  }
  return true;
}
