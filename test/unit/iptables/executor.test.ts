import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { DryRunExecutor, SystemExecutor } from '../../../iptables/executor.ts';

/** Puts scripts in place of commands for this test. */
function replaceCommands(t: Test, scripts: Readonly<Record<string, string>>): void {
  const folder = t.testdir();
  for (const [command, script] of Object.entries(scripts)) {
    writeFileSync(join(folder, command), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, command), 0o755);
  }
  const { PATH } = process.env;
  process.env.PATH = `${folder}:${PATH}`;
  t.teardown(() => {
    process.env.PATH = PATH;
  });
}

const legacy = { binary: 'iptables', legacy: true, hasRules: false };

t.test('a tool that ends before it has read everything is heard all the same', async t => {
  replaceCommands(t, { nft: 'exec 0<&-; echo refused >&2; exit 1' });
  const result = new SystemExecutor('').runTool('nft', ['-f', '-'], 'x'.repeat(1 << 20));
  t.match(result, { ok: false, stderr: 'refused\n' });
});

t.test('iptables tells the kind of its failure by its exit code', async t => {
  replaceCommands(t, { iptables: 'echo "iptables v1.8.9 (legacy): host/network x not found" >&2; exit 2' });
  const { stderr } = new SystemExecutor('').run(legacy, 'iptables', ['-A', 'X']);
  t.equal(stderr, 'xtables parameter problem: host/network x not found');
});

t.test('the legacy variant waits for its lock when it writes', async t => {
  replaceCommands(t, { iptables: 'echo "$@"', 'iptables-save': 'echo "saved $@"' });
  const executor = new SystemExecutor('');
  t.equal(executor.run(legacy, 'iptables', ['-A', 'X']).stdout, '-A X --wait=30\n');
  t.equal(executor.run({ ...legacy, legacy: false }, 'iptables', ['-A', 'X']).stdout, '-A X\n');
  t.equal(executor.run(legacy, 'save', []).stdout, 'saved \n');
});

t.test('a missing command is named', async t => {
  const { stderr } = new SystemExecutor('').run({ ...legacy, binary: 'no-such-tables' }, 'iptables', []);
  t.equal(stderr, 'exec: "no-such-tables": executable file not found in $PATH');
  t.equal(new SystemExecutor('').run({ ...legacy, binary: '' }, 'save', []).ok, false);
});

t.test('a dry run records commands and their input', async t => {
  const path = join(t.testdir(), 'record');
  const executor = new DryRunExecutor(path);
  executor.run(executor.detect(true), 'restore', ['--noflush'], '* nat\nCOMMIT\n');
  executor.runTool('nft', ['-f', '-'], 'add table x\n');
  t.equal(readFileSync(path, 'utf8'), '* nat\nCOMMIT\nnft -f -\nadd table x\n');
});
