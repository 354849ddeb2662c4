import t from 'tap';
import { deltaVariant, sotwVariant } from '../../../../agent/xds/discovery-variant.ts';
import { readStringField, readStringFields } from '../../../../agent/xds/wire.ts';
import { encodeMessage } from '../../../../protos/messages.ts';

t.test('finds the type of a message without decoding it', async t => {
  const request = encodeMessage('envoy.service.discovery.v3.DeltaDiscoveryRequest', {
    node: { id: 'x'.repeat(300) },
    type_url: 'type',
    resource_names_subscribe: ['a', 'b'],
  });
  t.equal(readStringField(request, deltaVariant.requestTypeField), 'type');
  const response = encodeMessage('envoy.service.discovery.v3.DiscoveryResponse', {
    version_info: '1',
    canary: true,
    type_url: 'other',
  });
  t.equal(readStringField(response, sotwVariant.responseTypeField), 'other');
  t.equal(readStringField(new Uint8Array(), 2), '');
});

t.test('refuses bytes that are no message', async t => {
  t.throws(() => readStringField(Buffer.from([0x12, 0x7f, 0x01]), 2), /truncated/);
  t.throws(() => readStringField(Buffer.from([0x13]), 2), /wire type/);
  t.throws(() => readStringField(Buffer.alloc(12, 0xff), 2), /truncated/);
});

t.test('all values of a repeated string field are read in order', async t => {
  const bytes = Buffer.concat([
    Buffer.from([0x92, 0x02, 1]),
    Buffer.from('a'),
    Buffer.from([0x08, 7, 0x92, 0x02, 1]),
    Buffer.from('b'),
  ]);
  t.same(readStringFields(bytes, 34), ['a', 'b']);
  t.same(readStringFields(bytes, 33), []);
});
