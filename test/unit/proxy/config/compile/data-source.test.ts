import t from 'tap';
import { readTextSource } from '../../../../../proxy/config/compile/data-source.ts';
import type { protos } from '../../../../../protos/messages.ts';

const fromVariable = (name: string): protos.envoy.config.core.v3.DataSource =>
  ({ specifier: 'environment_variable', environment_variable: name }) as protos.envoy.config.core.v3.DataSource;

t.test('a variable is read, and what every object has is none', async t => {
  process.env.DATA_SOURCE_TEST = 'text';
  t.equal(readTextSource(fromVariable('DATA_SOURCE_TEST'), 'source'), 'text');
  for (const name of ['__proto__', 'toString', 'constructor', 'DATA_SOURCE_ABSENT']) {
    t.throws(() => readTextSource(fromVariable(name), 'source'), { message: /Environment variable doesn't exist/ }, name);
  }
});
