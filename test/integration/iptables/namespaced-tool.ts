/** The init step in another network namespace, in one process for many runs. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Test } from 'tap';
import type { Case } from './original.ts';
import type { Outcome } from './tool-runner.ts';

export type Tool = (one: Case) => Promise<Outcome>;

/** Runs one case at a time. */
export function startTool(t: Test, namespace: string): Tool {
  const runner = spawn('ip', ['netns', 'exec', namespace, process.execPath, join(import.meta.dirname, 'tool-runner.ts')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.teardown(async () => {
    runner.stdin.end();
    if (runner.exitCode === null) await once(runner, 'exit');
  });
  const ended = once(runner, 'exit').then(([code]) => {
    throw new Error(`the tool ended with code ${code}`);
  });
  // At the end of the test nobody waits for it.
  ended.catch(() => {});
  const answers = createInterface({ input: runner.stdout });
  return async ({ argv, env }) => {
    const answer = once(answers, 'line');
    runner.stdin.write(`${JSON.stringify({ argv, env: { PATH: process.env.PATH, ...env } })}\n`);
    return JSON.parse((await Promise.race([answer, ended]))[0] as string) as Outcome;
  };
}
