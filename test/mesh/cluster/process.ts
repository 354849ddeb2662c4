/** The mesh's background processes: started with a log and a pid file, stopped by that pid only. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, openSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { environment } from './command.ts';
import { bin, state } from './layout.ts';

const pidFile = (name: string): string => join(state, 'pid', name);
export const logFile = (name: string): string => join(state, 'log', `${name}.log`);

/** Starts a process that outlives this one. */
export function startProcess(name: string, command: string, args: readonly string[]): void {
  for (const folder of ['pid', 'log']) mkdirSync(join(state, folder), { recursive: true });
  const log = openSync(logFile(name), 'a');
  const child = spawn(command, args, { detached: true, stdio: ['ignore', log, log], env: environment, cwd: '/' });
  child.on('error', error => console.error(`${name}: ${error.message}`));
  if (child.pid === undefined) return;
  writeFileSync(pidFile(name), `${child.pid}\n`);
  child.unref();
}

/** The last lines of a log; empty if there is none. */
export function tailLog(name: string, lines = 15): string {
  if (!existsSync(logFile(name))) return '';
  return readFileSync(logFile(name), 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
}

/** The pid that was written at the start, unless it is another program's by now. */
function readPid(name: string): number | null {
  if (!existsSync(pidFile(name))) return null;
  const pid = Number(readFileSync(pidFile(name), 'utf8'));
  return programOf(pid) === null ? null : pid;
}

/** The name of the mesh's program that the process runs, or null if it runs another one or has ended. */
function programOf(pid: number): string | null {
  try {
    const path = readlinkSync(`/proc/${pid}/exe`);
    return path.startsWith(`${bin}/`) ? basename(path).replace(' (deleted)', '') : null;
  } catch {
    return null;
  }
}

/** The pids of all processes for which `belongs` is true; of those that end meanwhile nothing is said. */
export function findProcesses(belongs: (pid: number) => boolean): number[] {
  const pids = readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number);
  return pids.filter(pid => {
    try {
      return pid !== process.pid && belongs(pid);
    } catch {
      return false;
    }
  });
}

/** Every process that runs one of the mesh's own programs of these names, whoever started it. */
export function findPrograms(names: readonly string[]): number[] {
  return findProcesses(pid => names.includes(programOf(pid) ?? ''));
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

export function isRunning(name: string): boolean {
  const pid = readPid(name);
  return pid !== null && isAlive(pid);
}

/** Asks the process to end, and insists after 3 s. */
export async function stopProcess(name: string): Promise<void> {
  const pid = readPid(name);
  if (pid !== null) await stopPid(pid);
  rmSync(pidFile(name), { force: true });
}

/** Sends the signal, unless the process has ended. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // Gone already.
  }
}

export async function stopPid(pid: number): Promise<void> {
  if (!isAlive(pid)) return;
  signal(pid, 'SIGTERM');
  for (let count = 0; count < 30 && isAlive(pid); count++) await new Promise(resolve => setTimeout(resolve, 100));
  signal(pid, 'SIGKILL');
}
