import t from 'tap';
import { negotiateFormat, restrictAccept, textFormat } from '../../../../agent/status/metrics-format.ts';

t.test('the answer has the format of the application, or plain text', async t => {
  t.equal(
    negotiateFormat('application/openmetrics-text; version=1.0.0; charset=utf-8'),
    'application/openmetrics-text; version=1.0.0; charset=utf-8',
  );
  t.equal(negotiateFormat('application/openmetrics-text'), 'application/openmetrics-text; version=0.0.1; charset=utf-8');
  for (const type of ['', 'text/html', 'application/openmetrics-text; version=9']) t.equal(negotiateFormat(type), textFormat);
});

t.test('only types that can be merged are asked for', async t => {
  const prometheus = 'application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1';
  t.equal(restrictAccept(prometheus, ['text/*', 'text/plain']), 'text/plain; q=0.1; version=0.0.4');
  t.match(
    restrictAccept(prometheus, ['text/plain', 'application/openmetrics-text']),
    /^application\/openmetrics-text; q=0.2; version=1.0.0,text\/plain; q=0.1/,
  );
  t.equal(restrictAccept('', ['text/plain']), 'text/plain;version=0.0.4');
  t.equal(restrictAccept('image/png', ['text/plain']), 'text/plain;version=0.0.4');
});
