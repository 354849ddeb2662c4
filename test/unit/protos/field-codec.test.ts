import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import protobuf from 'protobufjs/light.js';
import t from 'tap';
import { decodeFields, encodeFields } from '../../../protos/field-codec.ts';
import { findType } from '../../../protos/messages.ts';

const wire = join(import.meta.dirname, '..', '..', 'golden', 'wire');
const response = 'envoy.service.discovery.v3.DeltaDiscoveryResponse';

interface Resource {
  readonly resource: { readonly type_url: string; readonly value: Uint8Array };
}

type Generated = (...args: readonly unknown[]) => unknown;

/** protobufjs's own functions for a type and those of its fields. */
function generate(type: protobuf.Type): { decode(bytes: Uint8Array): object; encode(message: object): Uint8Array } {
  const types = type.fieldsArray.map(field => field.resolve().resolvedType);
  const { Reader, Writer, util } = protobuf;
  const decode = (protobuf.decoder(type) as unknown as (context: object) => Generated)({ Reader, types, util, C: type.ctor });
  const encode = (protobuf.encoder(type) as unknown as (context: object) => Generated)({ Writer, types, util });
  return {
    decode: bytes => decode(bytes) as object,
    encode: message => (encode(message) as protobuf.Writer).finish(),
  };
}

t.test('resources of a real istiod are the same as by generated functions', async t => {
  let count = 0;
  for (const pod of readdirSync(wire)) {
    for (const file of ['cds.bin', 'eds.bin', 'lds.bin', 'rds.bin']) {
      const { resources } = decodeFields(findType(response)!, readFileSync(join(wire, pod, file))) as unknown as {
        resources: readonly Resource[];
      };
      for (const { resource } of resources) {
        const type = findType(resource.type_url.slice(resource.type_url.lastIndexOf('/') + 1))!;
        const message = decodeFields(type, resource.value);
        t.same(message, generate(type).decode(resource.value));
        t.same(encodeFields(type, message).finish(), generate(type).encode(message));
        count++;
      }
    }
  }
  t.ok(count > 50, `${count} resources`);
});

/** One field of every kind, in a type of its own. */
function makeType(): protobuf.Type {
  const root = protobuf.Root.fromJSON({
    nested: {
      Color: { values: { RED: 0, GREEN: 1 } },
      Inner: { fields: { text: { type: 'string', id: 1 }, list: { rule: 'repeated', type: 'uint32', id: 2 } } },
      All: {
        oneofs: { choice: { oneof: ['first', 'second'] } },
        fields: {
          first: { type: 'Inner', id: 1 },
          second: { type: 'uint32', id: 2 },
          text: { type: 'string', id: 3 },
          data: { type: 'bytes', id: 4 },
          flag: { type: 'bool', id: 5 },
          signed: { type: 'sint32', id: 6 },
          long: { type: 'uint64', id: 7 },
          real: { type: 'double', id: 8 },
          color: { type: 'Color', id: 9 },
          numbers: { rule: 'repeated', type: 'int32', id: 10 },
          texts: { rule: 'repeated', type: 'string', id: 11 },
          inners: { rule: 'repeated', type: 'Inner', id: 12 },
          colors: { rule: 'repeated', type: 'Color', id: 13 },
          byText: { keyType: 'string', type: 'Inner', id: 14 },
          byNumber: { keyType: 'uint32', type: 'string', id: 15 },
          byFlag: { keyType: 'bool', type: 'bytes', id: 16 },
          optional: { type: 'uint32', id: 17, options: { proto3_optional: true } },
        },
      },
    },
  } as never);
  root.resolveAll();
  return root.lookupType('All');
}

const all = makeType();
const sample = {
  first: { text: 'inner', list: [1, 2, 300] },
  text: 'grün',
  data: new Uint8Array([0, 255]),
  flag: true,
  signed: -5,
  long: 2 ** 40,
  real: -0,
  color: 1,
  numbers: [-1, 0, 1],
  texts: ['', 'b'],
  inners: [{}, { text: 'x' }],
  colors: [1, 0, 7],
  byText: { a: { text: 'A' }, b: {} },
  byNumber: { 1: 'one', 4294967295: 'most' },
  byFlag: { true: new Uint8Array([1]) },
  optional: 0,
};

t.test('every kind of field is written and read as by generated functions', async t => {
  const { encode, decode } = generate(all);
  const bytes = encode(sample);
  t.same(encodeFields(all, sample).finish(), bytes);
  t.same(decodeFields(all, bytes), decode(bytes));
  t.same(encodeFields(all, {}).finish(), new Uint8Array());
  const defaults = {
    text: '',
    flag: false,
    signed: 0,
    long: 0,
    real: 0,
    color: 0,
    data: new Uint8Array(),
    texts: [],
    byText: {},
  };
  t.same(encodeFields(all, defaults).finish(), new Uint8Array(), 'defaults are not written');
});

t.test('a later field of the same number wins, merges or is appended', async t => {
  const { encode, decode } = generate(all);
  const bytes = Buffer.concat([
    encode(sample),
    encode({ second: 7, text: 'later', numbers: [9], byText: { a: { list: [4] } } }),
    encode({ first: { list: [5] } }),
    Buffer.from([0x1a, 0x00]),
  ]);
  t.same(decodeFields(all, bytes), decode(bytes));
});

t.test('unknown fields are kept, also those of another wire type', async t => {
  const bytes = Buffer.from([0xa0, 0x06, 0x05, 0x18, 0x07, 0x52, 0x01, 0x03, 0x50, 0x04, 0x5d, 1, 2, 3, 4, 0x70, 0x01]);
  const message = decodeFields(all, bytes);
  t.same(message, generate(all).decode(bytes));
  t.same(
    (message as unknown as { $unknowns: unknown }).$unknowns,
    (generate(all).decode(bytes) as never as typeof message & { $unknowns: unknown }).$unknowns,
  );
  t.same(encodeFields(all, message).finish(), generate(all).encode(message));
});

t.test('damaged bytes are refused as by generated functions', async t => {
  const { encode, decode } = generate(all);
  const bytes = Buffer.from(encode(sample));
  const outcome = (read: () => object): unknown => {
    try {
      return { ...read() };
    } catch (error) {
      return (error as Error).message;
    }
  };
  for (let i = 0; i < bytes.length; i++) {
    const damaged = Buffer.from(bytes);
    damaged[i] ^= 1 << (i % 8);
    t.same(
      outcome(() => decodeFields(all, damaged)),
      outcome(() => decode(damaged)),
      `bit ${i % 8} of byte ${i}`,
    );
    const cut = bytes.subarray(0, i);
    t.same(
      outcome(() => decodeFields(all, cut)),
      outcome(() => decode(cut)),
      `${i} bytes`,
    );
  }
});

t.test('nesting has a limit', async t => {
  const type = findType('google.protobuf.ListValue')!;
  let bytes = Buffer.alloc(0);
  for (let depth = 0; depth < 300; depth++) {
    const value = type.fieldsById[1].resolve() && protobuf.Writer.create().uint32(50).bytes(bytes).finish();
    bytes = Buffer.from(protobuf.Writer.create().uint32(10).bytes(value).finish());
  }
  t.throws(() => decodeFields(type, bytes), /max depth exceeded/);
});
