/** The mesh's background processes: started with a log and a pid file, stopped by that pid only. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { environment } from './command.ts';
import { state } from './layout.ts';

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

function readPid(name: string): number | null {
  if (!existsSync(pidFile(name))) return null;
  return Number(readFileSync(pidFile(name), 'utf8'));
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

export async function stopPid(pid: number): Promise<void> {
  if (!isAlive(pid)) return;
  process.kill(pid, 'SIGTERM');
  for (let count = 0; count < 30 && isAlive(pid); count++) await new Promise(resolve => setTimeout(resolve, 100));
  if (isAlive(pid)) process.kill(pid, 'SIGKILL');
}
