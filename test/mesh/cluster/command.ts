/** Running commands of the mesh, with its tools first on PATH. */
import { type SpawnSyncOptions, spawnSync } from 'node:child_process';
import { bin, kubeconfig } from './layout.ts';

export const environment = { ...process.env, PATH: `${bin}:${process.env.PATH}:/usr/sbin:/sbin`, KUBECONFIG: kubeconfig };

export type Output = { readonly code: number; readonly stdout: string; readonly stderr: string };
type Options = { input?: string; cwd?: string; env?: { [name: string]: string }; timeoutMs?: number; show?: boolean };

/** Runs to the end and reports the exit code; a missing program is code 127, a time limit 124. */
export function tryRun(command: string, args: readonly string[], options: Options = {}): Output {
  const how: SpawnSyncOptions = {
    input: options.input,
    cwd: options.cwd,
    env: { ...environment, ...options.env },
    timeout: options.timeoutMs,
    maxBuffer: 256 << 20,
    stdio: options.show ? [options.input === undefined ? 'ignore' : 'pipe', 'inherit', 'inherit'] : 'pipe',
  };
  const result = spawnSync(command, args, how);
  const failure = result.error as NodeJS.ErrnoException | undefined;
  const code = failure ? (failure.code === 'ETIMEDOUT' ? 124 : 127) : (result.status ?? 128);
  return { code, stdout: String(result.stdout ?? ''), stderr: String(result.stderr ?? '') + (failure ? failure.message : '') };
}

/** Runs and returns standard output. Throws an Error with the command and its complaint if it fails. */
export function run(command: string, args: readonly string[], options: Options = {}): string {
  const { code, stdout, stderr } = tryRun(command, args, options);
  if (code !== 0) throw new Error(`${command} ${args.join(' ')}: exit ${code}\n${stderr.trim() || stdout.trim()}`);
  return stdout;
}

/** Tries `attempt` until it returns something else than null or false. Throws an Error that names `what` after the limit. */
export async function waitFor<T>(
  what: string,
  attempt: () => Promise<T | null | false> | T | null | false,
  timeoutMs = 30_000,
  pauseMs = 200,
): Promise<T> {
  const end = Date.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await attempt();
      if (value !== null && value !== false) return value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`timed out: ${what}${last ? `: ${(last as Error).message}` : ''}`);
    await new Promise(resolve => setTimeout(resolve, pauseMs));
  }
}
