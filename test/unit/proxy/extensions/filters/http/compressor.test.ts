import { setImmediate as nextTurn } from 'node:timers/promises';
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib';
import t from 'tap';
import { chooseEncoding } from '../../../../../../proxy/extensions/filters/http/compressor/accept-encoding.ts';
import { createCompressorFilter } from '../../../../../../proxy/extensions/filters/http/compressor/compressor-filter.ts';
import type { CompressionLibraryModel } from '../../../../../../proxy/extensions/filters/http/compressor/config.ts';
import { HeaderMap } from '../../../../../../proxy/http/header-map.ts';
import { makeFixture } from '../../../http/manager-fixture.ts';

const libraries: CompressionLibraryModel[] = [
  { kind: 'brotli', quality: 3, windowBits: 18, chunkBytes: 4096 },
  { kind: 'zstd', level: 3, checksum: false, chunkBytes: 4096 },
  { kind: 'gzip', level: 6, memoryLevel: 5, windowBits: 12, chunkBytes: 4096 },
];

async function respond(acceptEncoding: string, contentType: string): Promise<{ head: string; body: Buffer }> {
  const text = Buffer.from('# TYPE a counter\n'.repeat(1000));
  const fixture = makeFixture({
    filters: { compressor: createCompressorFilter as never },
    model: {
      httpFilters: [
        ...libraries.map(library => ({
          kind: 'compressor',
          name: library.kind,
          config: {
            libraryName: library.kind,
            library,
            enabled: true,
            enabledRuntimeKey: '',
            minContentLength: 30,
            contentTypes: ['text/plain'],
            disableOnEtag: false,
            removeAcceptEncoding: false,
            hasResponseDirection: true,
          },
        })),
        { kind: 'terminal', name: 'terminal', config: {} },
      ],
    },
    answer({ callbacks }) {
      const headers = new HeaderMap();
      headers.status = 200;
      headers.add('content-type', contentType);
      headers.add('content-length', String(text.length));
      callbacks.encodeHeaders(headers, false);
      callbacks.encodeData(text.subarray(0, 5000), false);
      callbacks.encodeData(text.subarray(5000), true);
    },
  });
  fixture.send(`GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: ${acceptEncoding}\r\n\r\n`);
  while (!/\r\n0\r\n\r\n$|content-length/.test(fixture.written)) await nextTurn();
  const end = fixture.written.indexOf('\r\n\r\n') + 4;
  const head = fixture.written.slice(0, end);
  let rest = fixture.written.slice(end);
  if (!head.includes('transfer-encoding: chunked')) return { head, body: Buffer.from(rest, 'latin1') };
  let body = '';
  for (let size = Number.parseInt(rest, 16); size > 0; size = Number.parseInt(rest, 16)) {
    const at = rest.indexOf('\r\n') + 2;
    body += rest.slice(at, at + size);
    rest = rest.slice(at + size + 2);
  }
  return { head, body: Buffer.from(body, 'latin1') };
}

t.test('the client gets the coding it prefers', async t => {
  const expected = '# TYPE a counter\n'.repeat(1000);
  const gzip = await respond('gzip', 'text/plain; version=0.0.4');
  t.match(gzip.head, /content-encoding: gzip\r\n/);
  t.match(gzip.head, /vary: Accept-Encoding\r\n/);
  t.notMatch(gzip.head, /content-length/);
  t.equal(gunzipSync(gzip.body).toString(), expected);
  const brotli = await respond('gzip;q=0.5, br', 'text/plain');
  t.match(brotli.head, /content-encoding: br\r\n/);
  t.equal(brotliDecompressSync(brotli.body).toString(), expected);
  const zstd = await respond('zstd', 'text/plain');
  t.match(zstd.head, /content-encoding: zstd\r\n/);
  t.equal(zstdDecompressSync(zstd.body).toString(), expected);
});

t.test('other types and clients get the bytes as they are', async t => {
  t.match((await respond('gzip', 'image/png')).head, /content-length: 17000/);
  const plain = await respond('identity', 'text/plain');
  t.notMatch(plain.head, /content-encoding/);
  t.match(plain.head, /vary: Accept-Encoding/);
});

t.test('weights decide', async t => {
  const choose = (accept: string) => {
    const { kind, coding } = chooseEncoding(accept, ['br', 'zstd', 'gzip']);
    return `${kind} ${coding}`;
  };
  t.equal(choose('gzip, br'), 'valid gzip');
  t.equal(choose('*'), 'wildcard br');
  t.equal(choose('br;q=0, *'), 'wildcard zstd');
  t.equal(choose('deflate'), 'not-valid identity');
  t.equal(choose('identity;q=1, gzip;q=0.1'), 'identity identity');
  t.equal(choose('gzip;q=0'), 'not-valid identity');
});
