/** `--profile CASE`: where the worker's time goes, as a CPU profile for Chrome's tools and as a flame graph. */
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { findFreePort } from '../test/support/proxy-process.ts';
import type { BenchCase } from './cases.ts';
import { renderFlameGraph, sumSamples } from './flame-graph.ts';
import { runLoad } from './load/load.ts';
import { type Options, targetOf, warmUp } from './measurement.ts';
import { type Context, startSubject } from './subjects.ts';
import { WorkerProfiler } from './worker-profiler.ts';

/** Writes `CASE.cpuprofile` and `CASE.svg` to the current folder. */
export async function profileCase(benchCase: BenchCase, context: Context, options: Options): Promise<void> {
  const inspectorPort = await findFreePort();
  const { command, args } = context.commands.own;
  const own = { command: 'env', args: [`NODE_OPTIONS=--inspect=127.0.0.1:${inspectorPort}`, command, ...args] };
  const subject = await startSubject(benchCase, 'own', { ...context, commands: { ...context.commands, own } });
  try {
    await warmUp(benchCase, subject, options);
    const profiler = await WorkerProfiler.attach(inspectorPort);
    await profiler.start();
    await runLoad(benchCase, targetOf(benchCase, subject, options));
    const [profile] = await profiler.stop();
    writeFileSync(`${benchCase.name}.cpuprofile`, JSON.stringify(profile));
    writeFileSync(`${benchCase.name}.svg`, renderFlameGraph(sumSamples(profile), `${benchCase.name}: ${benchCase.description}`));
  } finally {
    await subject.stop();
  }
  console.log(`wrote ${resolve(`${benchCase.name}.svg`)} and ${resolve(`${benchCase.name}.cpuprofile`)}`);
}
