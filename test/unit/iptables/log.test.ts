import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { configureLog, log } from '../../../iptables/log.ts';

const options = (changes: Partial<Parameters<typeof configureLog>[0]>): Parameters<typeof configureLog>[0] => ({
  outputLevel: '',
  json: false,
  targets: [],
  ...changes,
});

t.test('lines go to every target, from the level of the default scope on', async t => {
  const files = ['one', 'two'].map(name => join(t.testdir(), name));
  configureLog(options({ outputLevel: 'dns:debug,default:warn', targets: files }));
  log.info('too low');
  log.warn('heard');
  for (const file of files) t.match(readFileSync(file, 'utf8'), /^\d{4}-[\d:T.-]+Z\twarn\theard\n$/);
});

t.test('a line may be JSON', async t => {
  const lines: string[] = [];
  configureLog(options({ outputLevel: 'info', json: true }), line => lines.push(line));
  log.error('a "b"');
  t.match(JSON.parse(lines[0]), { level: 'error', msg: 'a "b"' });
});

t.test('what cannot be understood or opened is an error', async t => {
  t.throws(() => configureLog(options({ outputLevel: 'default:loud' })), new Error("invalid output level 'loud'"));
  t.throws(() => configureLog(options({ outputLevel: 'a:b:c' })), new Error("invalid output level format 'a:b:c'"));
  t.throws(() => configureLog(options({ targets: ['/nonexistent/log'] })), /open sink "\/nonexistent\/log": /);
});
