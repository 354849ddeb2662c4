import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { readJsonMessage } from '../../../../../protos/json-reader.ts';
import { compileAccessLogs } from '../../../../../proxy/config/compile/access-log.ts';
import { CompileScope } from '../../../../../proxy/config/compile/scope.ts';
import { createCompileContext } from '../../../../../proxy/extensions/compile-manifest.ts';

const type = (name: string) => `type.googleapis.com/envoy.extensions.access_loggers.${name}`;

function compile(path: string, filter?: object) {
  const json = { name: 'log', typed_config: { '@type': type('file.v3.FileAccessLog'), path }, ...(filter && { filter }) };
  const message = readJsonMessage('envoy.config.accesslog.v3.AccessLog', json, { onUnknownField: null });
  const context = createCompileContext({ rejectUnknownFields: false });
  return compileAccessLogs([message as never], 'access_log', new CompileScope(context, 'listener'));
}

t.test('a log file that cannot be opened is refused, and not made', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'access-log-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'log');
  writeFileSync(file, '');
  t.match(compile(file), [{ kind: 'file', path: file }]);
  t.match(compile('/dev/stdout'), [{ kind: 'file' }]);
  t.throws(() => compile(folder), { message: `unable to open file '${folder}': Is a directory` });
  const missing = join(folder, 'no', 'log');
  t.throws(() => compile(missing), {
    path: 'access_log[0].typed_config.path',
    message: `unable to open file '${missing}': No such file or directory`,
  });
  t.throws(() => compile(join(file, 'log')), { message: /Not a directory/ });
});

t.test('an expression that is no CEL is refused', async t => {
  const filter = (expression: string) => ({
    extension_filter: { name: 'cel', typed_config: { '@type': type('filters.cel.v3.ExpressionFilter'), expression } },
  });
  t.match(compile('/dev/stdout', filter('response.code >= 400')), [{ filter: { kind: 'cel' } }]);
  t.throws(() => compile('/dev/stdout', filter('response.code >=')), {
    path: 'access_log[0].filter.extension_filter.typed_config.expression',
    message: /not a valid CEL expression/,
  });
});
