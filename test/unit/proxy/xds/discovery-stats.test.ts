import t from 'tap';
import { hashVersion } from '../../../../proxy/xds/discovery-stats.ts';

t.test('a version is shown as its xxHash64, as Envoy shows it', async t => {
  // Taken from an Envoy 1.40 that received this version from istiod.
  t.equal(hashVersion('2026-11-21T11:21:08Z/6'), Number(18053424902531400278n));
  t.equal(hashVersion(''), Number(17241709254077376921n));
});
