/**
 * Runs the init step again and again in one process, which may be in another network namespace: reads a case per line of standard input,
 * writes its exit code and log lines per line of standard output.
 */
import { createInterface } from 'node:readline';
import { configureLog } from '../../../iptables/log.ts';
import { run } from '../../../iptables/main.ts';
import type { Case } from './original.ts';

export type Outcome = { readonly code: number; readonly logged: readonly string[] };

for await (const line of createInterface({ input: process.stdin })) {
  const { argv, env } = JSON.parse(line) as Case;
  const logged: string[] = [];
  configureLog({ outputLevel: 'default:info', json: false, targets: [] }, text => logged.push(text));
  const code = await run(argv, env);
  process.stdout.write(`${JSON.stringify({ code, logged } satisfies Outcome)}\n`);
}
