import t from 'tap';
import { setAutomaticNames } from '../../../../proxy/router/automatic-names.ts';
import { upstreamServerNameKey, upstreamSubjectAltNamesKey } from '../../../../proxy/upstream/stream-options.ts';
import { makeCluster } from '../upstream/upstream-fixture.ts';
import { makeRequest, makeStreamInfo } from './route-models.ts';

function namesFor(authority: string, autoSni: boolean, autoSanValidation: boolean, given?: string) {
  const info = makeStreamInfo();
  if (given !== undefined) info.setFilterState(upstreamServerNameKey, given);
  const { protocol } = makeCluster();
  setAutomaticNames(
    info,
    makeRequest('GET', authority, '/'),
    makeCluster({ protocol: { ...protocol, autoSni, autoSanValidation } }),
  );
  return { serverName: info.getFilterState(upstreamServerNameKey), names: info.getFilterState(upstreamSubjectAltNamesKey) };
}

t.test('server name and expected names follow the authority, without its port', async t => {
  t.same(namesFor('a.test:8443', true, true), { serverName: 'a.test', names: ['a.test'] });
  t.same(namesFor('a.test', true, false), { serverName: 'a.test', names: undefined });
  t.same(namesFor('a.test', false, false), { serverName: undefined, names: undefined });
});

t.test('an IP address is expected of the certificate but is no server name', async t => {
  t.same(namesFor('10.0.0.1:443', true, true), { serverName: undefined, names: ['10.0.0.1'] });
  t.same(namesFor('[2001:db8::1]:443', true, true), { serverName: undefined, names: ['2001:db8::1'] });
});

t.test('a name that a filter chose stays', async t => {
  t.same(namesFor('a.test', true, false, 'chosen.test'), { serverName: 'chosen.test', names: undefined });
});
