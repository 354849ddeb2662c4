import t from 'tap';
import { recordTypes } from '../../../../agent/dns/dns-message.ts';
import { NameTable } from '../../../../agent/dns/name-table.ts';

const service = { registry: 'Kubernetes', shortname: 'web', namespace: 'ns1', alt_hosts: [] };
const scope = { namespace: 'ns1', domain: 'svc.cluster.local', searchDomain: 'ns1.svc.cluster.local' };
const table = new NameTable(
  {
    'web.ns1.svc.cluster.local': { ...service, ips: ['10.0.0.1', 'fd00::1'] },
    'db.ns2.svc.cluster.local': { ...service, shortname: 'db', namespace: 'ns2', ips: ['10.0.0.2'] },
    '*.wild.com': { ...service, registry: 'External', ips: ['10.0.0.3'] },
    'Empty.example.com': { ...service, registry: 'External', ips: [] },
  },
  scope,
);
const addressesOf = (name: string, type: number = recordTypes.a): readonly string[] | undefined =>
  table.lookUp(name, type)?.map(record => record.data.toString('hex'));

t.test('a service is known by its short forms, in its own namespace by name alone', async t => {
  for (const name of ['web.ns1.svc.cluster.local.', 'web.ns1.svc.', 'web.ns1.', 'WEB.', 'db.ns2.']) t.ok(addressesOf(name), name);
  for (const name of ['db.', 'web.ns2.', 'other.', 'empty.example.com.']) t.equal(addressesOf(name), undefined, name);
});

t.test('answers each family, and nothing for a family without address', async t => {
  t.same(addressesOf('web.'), ['0a000001']);
  t.same(addressesOf('web.', recordTypes.aaaa), ['fd000000000000000000000000000001']);
  t.same(addressesOf('db.ns2.', recordTypes.aaaa), []);
  t.equal(addressesOf('web.', 16), undefined);
});

t.test('wildcards match any number of labels', async t => {
  t.same(addressesOf('a.b.wild.com.'), ['0a000003']);
  t.equal(addressesOf('wild.com.'), undefined);
});

t.test('a name with the search domain appended leads to the name that was meant', async t => {
  const records = table.lookUp('db.ns2.ns1.svc.cluster.local.', recordTypes.a) ?? [];
  t.same(
    records.map(record => record.type),
    [recordTypes.cname, recordTypes.a],
  );
  t.equal(records[1].name, 'db.ns2.');
});
