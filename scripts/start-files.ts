/**
 * The files that start the bundled programs. Loading is most of a start, and most of loading is compiling: a program is run with
 * the byte code that V8 kept from an earlier run. A cache that V8 does not take (another Node, other flags) only costs time.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Source file by program. The agent's big commands are programs of their own, which its command table loads: `request` and `wait`
 * start every few seconds and are to read nothing of them.
 */
export const programs = {
  agent: 'agent/main.ts',
  'agent-proxy': 'agent/commands/proxy-command.ts',
  iptables: 'iptables/main.ts',
  proxy: 'proxy/main.ts',
  worker: 'proxy/workers/worker.ts',
} as const;

/** How often a recording program saves what it has compiled. */
const recordingIntervalMs = 500;

function renderStartFile(name: string): string {
  return `'use strict';
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const { pathToFileURL } = require('node:url');
const { Script } = require('node:vm');
const filename = join(__dirname, '${name}.cjs');
let cachedData;
try {
  cachedData = readFileSync(join(__dirname, '${name}.cache'));
} catch {}
const script = new Script(readFileSync(filename, 'latin1'), { filename, cachedData });
module.exports = script.runInThisContext()(require, pathToFileURL(filename).href);
`;
}

/** Saves byte code while the program runs, too: processes end by signals and system calls that run nothing of ours. */
function renderRecording(name: string): string {
  return `const { renameSync, writeFileSync } = require('node:fs');
const { threadId } = require('node:worker_threads');
const save = () => {
  const part = join(__dirname, \`${name}.cache.\${process.pid}.\${threadId}\`);
  writeFileSync(part, script.createCachedData());
  renameSync(part, join(__dirname, '${name}.cache'));
};
setInterval(save, ${recordingIntervalMs}).unref();
process.once('exit', save);
`;
}

/** @param isRecording the programs write their caches; else they only use them. */
export function writeStartFiles(folder: string, isRecording = false): void {
  for (const name of Object.keys(programs)) {
    writeFileSync(join(folder, `${name}-start.cjs`), renderStartFile(name) + (isRecording ? renderRecording(name) : ''));
  }
}
