/** How a bundled program starts, with and without the byte code of an earlier run. */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { programs, writeStartFiles } from '../../scripts/start-files.ts';

/** Ends by itself, or once its byte code is there. */
const program = `(function (require, programUrl) {
  const { existsSync } = require('node:fs');
  const greet = url => 'started as ' + url.split('/').at(-1);
  console.log(greet(programUrl));
  if (process.argv[2] === 'until') setInterval(() => existsSync(process.argv[3]) && process.exit(), 20);
})`;

function makePrograms(t: Test): string {
  const folder = t.testdir();
  for (const name of Object.keys(programs)) writeFileSync(join(folder, `${name}.cjs`), program);
  return folder;
}

async function start(t: Test, ...args: readonly string[]): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args);
  t.equal(stderr, '', 'nothing to complain of');
  return stdout.trim();
}

async function record(t: Test, folder: string): Promise<string> {
  const cache = join(folder, 'proxy.cache');
  writeStartFiles(folder, true);
  t.equal(await start(t, join(folder, 'proxy-start.cjs'), 'until', cache), 'started as proxy.cjs');
  writeStartFiles(folder);
  return cache;
}

t.test('a program starts without byte code of an earlier run', async t => {
  const folder = makePrograms(t);
  writeStartFiles(folder);
  t.equal(await start(t, join(folder, 'agent-start.cjs')), 'started as agent.cjs');
  t.notOk(existsSync(join(folder, 'agent.cache')), 'and writes none');
});

t.test('a recording program saves its byte code, and the next start takes it', async t => {
  const folder = makePrograms(t);
  await record(t, folder);
  const startFile = join(folder, 'proxy-start.cjs');
  writeFileSync(startFile, `${readFileSync(startFile, 'utf8')}console.log(script.cachedDataRejected);`);
  t.equal(await start(t, startFile), 'started as proxy.cjs\nfalse');
});

t.test('byte code that does not fit only costs time', async t => {
  const folder = makePrograms(t);
  const cache = await record(t, folder);
  const startFile = join(folder, 'proxy-start.cjs');
  t.equal(await start(t, '--no-lazy', startFile), 'started as proxy.cjs', 'other flags');
  truncateSync(cache, 100);
  t.equal(await start(t, startFile), 'started as proxy.cjs', 'a part of it');
  writeFileSync(cache, 'of something else');
  t.equal(await start(t, startFile), 'started as proxy.cjs', 'something else');
});

t.test('a program that another one loads gives it what it exports', async t => {
  const folder = makePrograms(t);
  const loaded = "(function () { const module = { exports: {} }; module.exports.answer = '42'; return module.exports; })";
  writeFileSync(join(folder, 'agent-proxy.cjs'), loaded);
  writeFileSync(join(folder, 'agent.cjs'), "(function (require) { console.log(require('./agent-proxy-start.cjs').answer); })");
  writeStartFiles(folder);
  t.equal(await start(t, join(folder, 'agent-start.cjs')), '42');
});
