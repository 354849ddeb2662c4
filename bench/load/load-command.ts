/** Programs that make load run on their core, and are over when they have said what they measured. */
import { spawn } from 'node:child_process';
import { loadCore } from '../environment.ts';

/** @throws if the program fails, with what it wrote to standard error. */
export async function runOnLoadCore(command: readonly string[], input = ''): Promise<string> {
  const child = spawn('taskset', ['-c', String(loadCore), ...command], { stdio: 'pipe' });
  let output = '';
  let complaints = '';
  child.stdout.on('data', chunk => {
    output += chunk;
  });
  child.stderr.on('data', chunk => {
    complaints += chunk;
  });
  // A program that does not read it says by its end what is wrong.
  child.stdin.on('error', () => {}).end(input);
  const code = await new Promise(resolve => child.once('close', resolve));
  if (code !== 0) throw new Error(`bench: ${command[0]} ended with ${code}: ${complaints.trim()}`);
  return output;
}
