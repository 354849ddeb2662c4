import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import t from 'tap';
import { TimerWheel } from '../../../../common/timer-wheel.ts';
import type { AccessLogFilter } from '../../../../proxy/config/model/access-log.ts';
import { compileAccessLogFilter } from '../../../../proxy/telemetry/access-log-filter.ts';
import { FileAccessLogs } from '../../../../proxy/telemetry/file-access-log.ts';
import { ResponseFlag } from '../../../../proxy/telemetry/response-flags.ts';
import { makeRequestHeaders, makeStreamInfo } from './fixture.ts';

const text = (format: string) => ({ kind: 'text', format, omitEmpty: false }) as const;

function makeLogs(overrides: { flushIntervalMs?: number; flushMinBytes?: number } = {}): FileAccessLogs {
  return new FileAccessLogs({ timers: new TimerWheel(), flushIntervalMs: 10, flushMinBytes: 65_536, ...overrides });
}

t.test('lines reach the file after the interval, at the minimum size, and at a flush', async t => {
  const path = join(mkdtempSync(join(tmpdir(), 'log-')), 'a.log');
  const logs = makeLogs({ flushIntervalMs: 60_000, flushMinBytes: 20 });
  const [one, two] = logs.create([
    { kind: 'file', path, format: text('%REQ(:PATH)%\n'), filter: null },
    { kind: 'inert', name: 'grpc' },
    { kind: 'file', path, format: text('two\n'), filter: null },
  ]);
  one.log(makeStreamInfo(), makeRequestHeaders(), null, null);
  t.equal(readFileSync(path, 'utf8'), '', 'buffered');
  two.log(makeStreamInfo(), null, null, null);
  t.equal(readFileSync(path, 'utf8'), '', 'loggers of a path share its buffer');
  one.log(makeStreamInfo(), makeRequestHeaders(), null, null);
  t.equal(readFileSync(path, 'utf8'), '/p?a=b&c=d\ntwo\n/p?a=b&c=d\n', 'written at 20 bytes');
  two.log(makeStreamInfo(), null, null, null);
  logs.flush();
  t.match(readFileSync(path, 'utf8'), /two\n$/);
  logs.close();
  const timed = makeLogs();
  timed.create([{ kind: 'file', path, format: text('timed\n'), filter: null }])[0].log(makeStreamInfo(), null, null, null);
  while (!readFileSync(path, 'utf8').endsWith('timed\n')) await new Promise(resolve => setImmediate(resolve));
  timed.close();
});

t.test('reopen follows a rotated file', async t => {
  const path = join(mkdtempSync(join(tmpdir(), 'log-')), 'a.log');
  const logs = makeLogs();
  const [logger] = logs.create([{ kind: 'file', path, format: text('x\n'), filter: null }]);
  logger.log(makeStreamInfo(), null, null, null);
  renameSync(path, `${path}.1`);
  logs.reopen();
  logger.log(makeStreamInfo(), null, null, null);
  logs.close();
  t.equal(readFileSync(`${path}.1`, 'utf8'), 'x\n');
  t.equal(readFileSync(path, 'utf8'), 'x\n');
});

t.test('a full pipe neither blocks nor loses or splits lines', async t => {
  const path = join(mkdtempSync(join(tmpdir(), 'log-')), 'fifo');
  execFileSync('mkfifo', [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const logs = makeLogs({ flushMinBytes: 1 });
  const line = `${'y'.repeat(99)}\n`;
  const [logger] = logs.create([{ kind: 'file', path, format: text(line), filter: null }]);
  for (let i = 0; i < 1000; i++) logger.log(makeStreamInfo(), null, null, null);
  let received = '';
  const buffer = Buffer.alloc(65_536);
  while (received.length < 100_000) {
    try {
      received += buffer.toString('latin1', 0, readSync(reader, buffer));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      await new Promise(resolve => setImmediate(resolve));
    }
  }
  logs.close();
  closeSync(reader);
  t.equal(received, line.repeat(1000));
});

t.test('a path that cannot be opened costs no request', async t => {
  const logs = makeLogs();
  const [logger] = logs.create([{ kind: 'file', path: '/nonexistent/a.log', format: text('x\n'), filter: null }]);
  t.doesNotThrow(() => logger.log(makeStreamInfo(), null, null, null));
  logs.close();
});

t.test('filters select what is logged', async t => {
  const info = makeStreamInfo();
  info.responseCode = 503;
  info.endMonotonicMs = 1500;
  info.setFlag(ResponseFlag.noRouteFound);
  const requestHeaders = makeRequestHeaders({ 'x-a': 'b', 'x-request-id': '00000001-0000-9000-8000-000000000000' });
  const context = { info, requestHeaders, responseHeaders: null, responseTrailers: null };
  const header = {
    name: 'x-a',
    match: { kind: 'exact', value: 'b', ignoreCase: false },
    present: true,
    invert: false,
    treatMissingAsEmpty: false,
  } as const;
  const percent = (numerator: number) => ({ numerator, denominator: 100, runtimeKey: '' }) as const;
  const cases: [AccessLogFilter, boolean][] = [
    [{ kind: 'status', op: 'ge', value: 500 }, true],
    [{ kind: 'status', op: 'eq', value: 200 }, false],
    [{ kind: 'duration', op: 'le', value: 499 }, false],
    [{ kind: 'not-health-check' }, true],
    [{ kind: 'traceable' }, true],
    [{ kind: 'runtime', percent: percent(1) }, false],
    [{ kind: 'runtime', percent: percent(2) }, true],
    [{ kind: 'header', header }, true],
    [{ kind: 'response-flag', flags: [] }, true],
    [{ kind: 'response-flag', flags: ['UF'] }, false],
    [{ kind: 'response-flag', flags: ['UF', 'NR'] }, true],
    [{ kind: 'grpc-status', statuses: [14], exclude: false }, true],
    [{ kind: 'grpc-status', statuses: [14], exclude: true }, false],
    [{ kind: 'cel', expression: "response.code >= 400 && request.headers['x-a'] == 'b'" }, true],
    [{ kind: 'cel', expression: "request.headers['none'] == 'b'" }, false],
    [{ kind: 'and', filters: [{ kind: 'not-health-check' }, { kind: 'status', op: 'eq', value: 200 }] }, false],
    [{ kind: 'or', filters: [{ kind: 'not-health-check' }, { kind: 'status', op: 'eq', value: 200 }] }, true],
  ];
  for (const [filter, expected] of cases) t.equal(compileAccessLogFilter(filter)(context), expected, JSON.stringify(filter));
});
