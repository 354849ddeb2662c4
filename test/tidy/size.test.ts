import t from 'tap';
import { listSources, type Source } from './sources.ts';

const maxFileLines = 400;
const maxFunctionLines = 70;
const sources = listSources('.ts').filter(source => !source.path.startsWith('protos/generated/'));

t.test('no file is longer than the hard limit', async t => {
  for (const { path, lines } of sources) {
    if (path.startsWith('test/parity/cases/')) continue; // tables of bytes
    if (lines.length > maxFileLines + 1) t.fail(`${path} has ${lines.length - 1} lines, at most ${maxFileLines}`);
  }
});

/** Functions and methods by their brace at the indentation where they began: the formatter guarantees the shape. */
function* functionsOf({ lines }: Source): Generator<{ name: string; length: number; line: number }> {
  const opening =
    /^(\s*)(?:export )?(?:default )?(?:async )?(?:function\*? (\w+)|(?:static |async |\*|get |set |override )*(#?\w+)\([^)]*\).*|\w+ = (?:async )?\(.*=>) ?.*\{$/;
  for (let i = 0; i < lines.length; i++) {
    const match = opening.exec(lines[i]);
    if (match === null || /^\s*(if|for|while|switch|return|else|do|try|catch)\b/.test(lines[i])) continue;
    const end = lines.findIndex((line, at) => at > i && line.startsWith(`${match[1]}}`) && !line.startsWith(`${match[1]} `));
    if (end > i) yield { name: match[2] ?? match[3] ?? 'function', length: end - i + 1, line: i + 1 };
  }
}

t.test('no function is longer than the limit', async t => {
  for (const source of sources.filter(({ path }) => !path.startsWith('test/'))) {
    for (const { name, length, line } of functionsOf(source)) {
      if (length > maxFunctionLines) t.fail(`${source.path}:${line} ${name} has ${length} lines, at most ${maxFunctionLines}`);
    }
  }
});
