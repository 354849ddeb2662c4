import t from 'tap';
import { describeIstiodFailure, explainSystemError } from '../../../agent/failure-text.ts';

const wrap = (reason: string): string => `No connection established. Last error: Error: ${reason}. Resolution note: `;

t.test('an unreachable istiod is told with its address and what to look at', async t => {
  t.equal(
    describeIstiodFailure(wrap('connect ECONNREFUSED 127.0.0.1:15012')),
    'connect ECONNREFUSED 127.0.0.1:15012 (is istiod running, and may this pod reach it?)',
  );
});

t.test('an untrusted istiod is told without advice about Node', async t => {
  const text = describeIstiodFailure(
    wrap('unable to verify the first certificate; if the root CA is installed locally, try running Node.js with --use-system-ca'),
  );
  t.match(text, /^unable to verify the first certificate \(the certificate of istiod is not signed by the root/);
  t.notMatch(text, /Node/);
});

t.test('a refused token is told as such, and an unknown reason stays as it is', async t => {
  t.match(describeIstiodFailure('authentication failure: token expired'), /token of the service account/);
  t.equal(describeIstiodFailure('the server is too busy'), 'the server is too busy');
});

t.test('an error of the system names what was attempted', async t => {
  const error = Object.assign(new Error('listen EADDRINUSE: address already in use :::15020'), { code: 'EADDRINUSE' });
  t.match(
    explainSystemError('listen on status port 15020', error).message,
    /^failed to listen on status port 15020: the port is in use by another process/,
  );
  t.equal(explainSystemError('write a', new Error('strange')).message, 'failed to write a: strange');
});
