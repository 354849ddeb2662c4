/**
 * `npm run bench`: Envoy and this proxy on the same bootstraps, one worker and one core each, in alternation. The figure that
 * counts is CPU per request as a ratio: it does not depend on how fast this machine is.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { buildBenchTools } from '../test/mesh/cluster/tools.ts';
import { findEnvoy } from '../test/support/envoy-binary.ts';
import { ownCommand } from '../test/support/proxy-process.ts';
import { type BenchCase, cases } from './cases.ts';
import { endChildrenWithProcess, makeCertificates, requirePrograms } from './environment.ts';
import { compareInMesh } from './mesh.ts';
import { measureAtRate, measureIdle, measureLoad, type Options, warmUp } from './measurement.ts';
import { profileCase } from './profile.ts';
import { type CaseResult, renderTable, type Sample, summarizeCase } from './report.ts';
import { renderPage } from './report-page.ts';
import { measureSpread, renderSpread, type SpreadSample } from './worker-spread.ts';
import { type Command, type Context, namesOf, startSubject, type Subject } from './subjects.ts';
import { startUpstreams } from './upstreams.ts';

const usage = `npm run bench -- [options]
  --case NAME         only this case (repeatable): ${cases.map(({ name }) => name).join(', ')}
  --rounds N          alternations of Envoy and this proxy per case (5)
  --seconds N         load per round and proxy (4)
  --connections N     keep-alive connections (64)
  --json FILE         write every sample
  --html FILE         write a page with plots
  --built             measure the built proxy (dist/) through bin/sidecar-proxy instead of the sources
  --also FOLDER       measure the built proxy of another checkout too, as 'also'
  --mesh              instead: a pair of sidecars between real pods (npm run mesh -- up), as root
  --profile CASE      no comparison: a CPU profile of this proxy and its flame graph, in the current folder`;

/** Only the first connections of a process tell its memory, so that each round starts its own. */
async function runIdleCase(benchCase: BenchCase, context: Context, rounds: number): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const name of namesOf(benchCase, context.commands)) {
      const subject = await startSubject(benchCase, name, context);
      samples.push(await measureIdle(benchCase, subject).finally(() => subject.stop()));
    }
  }
  return samples;
}

async function runCase(benchCase: BenchCase, context: Context, options: Options): Promise<Sample[]> {
  if (benchCase.idleConnections) return runIdleCase(benchCase, context, Math.min(3, options.rounds));
  const subjects: Subject[] = [];
  const samples: Sample[] = [];
  try {
    for (const name of namesOf(benchCase, context.commands)) subjects.push(await startSubject(benchCase, name, context));
    for (const subject of subjects) await warmUp(benchCase, subject, options);
    for (let round = 0; round < options.rounds; round++) {
      for (const subject of subjects) {
        if (benchCase.rates === undefined) samples.push(await measureLoad(benchCase, subject, options));
        for (const rate of benchCase.rates ?? []) samples.push(await measureAtRate(benchCase, subject, options, rate));
      }
    }
  } finally {
    for (const subject of subjects) await subject.stop();
  }
  return samples;
}

async function runSpreadCase(benchCase: BenchCase, context: Context, options: Options): Promise<SpreadSample[]> {
  const samples: SpreadSample[] = [];
  for (const name of namesOf(benchCase, context.commands)) {
    const subject = await startSubject(benchCase, name, context);
    try {
      await warmUp(benchCase, subject, options);
      for (const connections of benchCase.spreadOf ?? []) {
        samples.push(await measureSpread(benchCase, subject, { ...options, connections }));
      }
    } finally {
      await subject.stop();
    }
  }
  return samples;
}

interface Files {
  readonly json: string | undefined;
  readonly html: string | undefined;
}

async function compare(names: readonly string[], context: Context, options: Options, files: Files): Promise<void> {
  const rounds: { case: string; samples: readonly (Sample | SpreadSample)[] }[] = [];
  const results: CaseResult[] = [];
  for (const benchCase of names.length === 0 ? cases : names.map(findCase)) {
    if (benchCase.spreadOf !== undefined) {
      const spread = await runSpreadCase(benchCase, context, options);
      rounds.push({ case: benchCase.name, samples: spread });
      console.log(renderSpread(benchCase, spread));
      continue;
    }
    const samples = await runCase(benchCase, context, options);
    const result = summarizeCase(benchCase, samples);
    rounds.push({ case: benchCase.name, samples });
    results.push(result);
    console.log(renderTable(result));
    if (files.json) writeFileSync(files.json, JSON.stringify({ options, results: rounds }, null, 1));
    if (files.html) writeFileSync(files.html, renderPage(results));
  }
}

function findCase(name: string): BenchCase {
  const benchCase = cases.find(candidate => candidate.name === name);
  if (benchCase === undefined) throw new Error(`bench: no case ${name}; there are ${cases.map(c => c.name).join(', ')}`);
  return benchCase;
}

function builtCommand(folder: string): Command {
  return { command: join(folder, 'bin', 'sidecar-proxy'), args: [] };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      case: { type: 'string', multiple: true, default: [] },
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '4' },
      connections: { type: 'string', default: '64' },
      json: { type: 'string' },
      html: { type: 'string' },
      built: { type: 'boolean', default: false },
      also: { type: 'string' },
      profile: { type: 'string' },
      mesh: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return console.log(usage);
  const size = { rounds: Number(values.rounds), seconds: Number(values.seconds) };
  if (values.mesh) {
    const samples = await compareInMesh(size);
    if (values.json) writeFileSync(values.json, JSON.stringify({ options: size, results: [{ case: 'mesh', samples }] }, null, 1));
    return;
  }
  endChildrenWithProcess();
  requirePrograms('wrk', 'h2load', 'nginx', 'openssl', 'taskset');
  buildBenchTools();
  const envoy = findEnvoy();
  if (envoy === null) throw new Error('bench: no Envoy binary; npm run mesh -- tools installs one');
  const folder = mkdtempSync(join(tmpdir(), 'bench-'));
  const options = { ...size, connections: Number(values.connections), folder };
  const root = join(import.meta.dirname, '..');
  const certificates = { 'P-256': makeCertificates(folder, 'P-256'), 'RSA-2048': makeCertificates(folder, 'RSA-2048') };
  const bodySizes = cases.flatMap(({ body }) => (body ? [body.bytes] : []));
  const upstreams = await startUpstreams(folder, certificates['P-256'], bodySizes);
  const context: Context = {
    folder,
    certificates,
    upstreamPorts: upstreams.ports,
    commands: {
      envoy: { command: envoy, args: [] },
      own: values.built ? builtCommand(root) : ownCommand(),
      ...(values.also && { also: builtCommand(resolve(values.also)) }),
    },
  };
  try {
    if (values.profile) await profileCase(findCase(values.profile), context, options);
    else await compare(values.case, context, options, { json: values.json, html: values.html });
  } finally {
    upstreams.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

await main();
