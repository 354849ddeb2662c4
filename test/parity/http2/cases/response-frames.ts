/** What HTTP/2 upstreams may and may not send, frame by frame, to an HTTP/1 client's request. */
import { FrameType } from '../../../../proxy/http/h2/frame.ts';
import {
  type Field,
  makeBlock,
  makeData,
  makeFragments,
  makeFrame,
  makeHeaders,
  makeSettings,
  uint32,
} from '../../../support/http2-wire.ts';
import type { FrameCase } from '../frame-exchange.ts';
import { exceptProtocolErrors, http2Cluster } from '../http2-case.ts';

const block = (status: string, ...more: Field[]) => makeBlock([':status', status], ...more);
const head = (id: number, status = '200', ...more: Field[]) => makeHeaders(id, block(status, ...more), false);
const only = (id: number, status = '200', ...more: Field[]) => makeHeaders(id, block(status, ...more));
const reset = (id: number, code: number) => makeFrame(FrameType.rstStream, 0, id, uint32(code));
const goaway = (last: number, code = 0) => makeFrame(FrameType.goaway, 0, 0, Buffer.concat([uint32(last), uint32(code)]));
const bodyBegun = (id: number) => Buffer.concat([head(id), makeData(id, 'x')]);

const answers: Record<string, NonNullable<FrameCase['answer']>> = {
  'headers only': id => [only(id)],
  'a body': id => [head(id), makeData(id, 'hello', true)],
  'a body of the announced length': id => [head(id, '200', ['content-length', '5']), makeData(id, 'hello', true)],
  'a shorter body than announced': id => [head(id, '200', ['content-length', '9']), makeData(id, 'hello', true)],
  'a longer body than announced': id => [head(id, '200', ['content-length', '2']), makeData(id, 'hello', true)],
  'a length without body': id => [only(id, '200', ['content-length', '9'])],
  'a length of letters': id => [only(id, '200', ['content-length', 'x'])],
  'two lengths': id => [head(id, '200', ['content-length', '5'], ['content-length', '5']), makeData(id, 'hello', true)],
  'no status': id => [makeHeaders(id, makeBlock(['a', 'b']))],
  'a status with a letter': id => [only(id, '2x0')],
  'a status of four digits': id => [only(id, '2000')],
  'two statuses': id => [makeHeaders(id, makeBlock([':status', '200'], [':status', '200']))],
  'a late status': id => [makeHeaders(id, makeBlock(['a', 'b'], [':status', '200']))],
  'a pseudo header of requests': id => [only(id, '200', [':path', '/'])],
  '100 and 200': id => [head(id, '100'), only(id)],
  '103 and 200': id => [head(id, '103', ['link', 'x']), only(id)],
  '101': id => [head(id, '101'), only(id)],
  '199 and 200': id => [head(id, '199'), only(id)],
  '199 and a reset': id => [Buffer.concat([head(id, '199'), reset(id, 2)])],
  '103 and a reset': id => [Buffer.concat([head(id, '103'), reset(id, 2)])],
  'crumbs of a cookie': id => [only(id, '200', ['cookie', 'a=1'], ['x', 'y'], ['cookie', 'b=2'])],
  '100 that ends': id => [only(id, '100')],
  '100 with a length': id => [head(id, '100', ['content-length', '0']), only(id)],
  '100 and a body': id => [head(id, '100'), makeData(id, 'x', true)],
  '204 with length 0': id => [only(id, '204', ['content-length', '0'])],
  '204 with length 5': id => [only(id, '204', ['content-length', '5'])],
  '304 with a length': id => [only(id, '304', ['content-length', '50'])],
  'upper case': id => [only(id, '200', ['A', 'b'])],
  connection: id => [only(id, '200', ['connection', 'close'])],
  'te: gzip': id => [only(id, '200', ['te', 'gzip'])],
  'transfer-encoding': id => [only(id, '200', ['transfer-encoding', 'chunked'])],
  upgrade: id => [only(id, '200', ['upgrade', 'x'])],
  'a NUL in a value': id => [only(id, '200', ['a', '\0'])],
  'an underscore': id => [only(id, '200', ['a_b', 'c'])],
  'two set-cookie': id => [only(id, '200', ['set-cookie', 'a'], ['set-cookie', 'b'])],
  'DATA before headers': id => [makeData(id, 'x', true)],
  trailers: id => [bodyBegun(id), makeHeaders(id, makeBlock(['a', 'b']))],
  'trailers that do not end': id => [bodyBegun(id), makeHeaders(id, makeBlock(['a', 'b']), false)],
  'a status in trailers': id => [bodyBegun(id), makeHeaders(id, makeBlock([':status', '200']))],
  'trailers without body': id => [head(id), makeHeaders(id, makeBlock(['a', 'b']))],
  ...Object.fromEntries([0, 1, 2, 7, 8, 10, 11, 13].map(code => [`a reset with ${code}`, (id: number) => [reset(id, code)]])),
  ...Object.fromEntries(
    [0, 1, 2, 7].map(code => [`a reset with ${code} behind the headers`, (id: number) => [bodyBegun(id), reset(id, code)]]),
  ),
  'GOAWAY below the stream': () => [goaway(0)],
  'GOAWAY at the stream': id => [goaway(id), only(id)],
  'GOAWAY above the stream': id => [goaway(2 ** 31 - 1), only(id)],
  'GOAWAY with an error': id => [goaway(id, 2), only(id)],
  'the end of the connection': () => ['close'],
  'the end of the connection behind the headers': id => [bodyBegun(id), 'close'],
  'a push': id => [makeFrame(FrameType.pushPromise, 4, id, Buffer.concat([uint32(2), makeBlock([':method', 'GET'])]))],
  'a stream of its own': () => [only(2)],
  'a stream that nobody began': id => [only(id + 2)],
  'HEADERS on stream 0': () => [only(0)],
  'a block that cannot be decoded': id => [makeHeaders(id, Buffer.from([255, 255, 255]))],
  '102 headers': id => [only(id, '200', ...Array.from({ length: 101 }, (_, i): Field => [`a${i}`, 'x']))],
  'a header of 62 KB': id => [makeFragments(id, block('200', ['a', 'x'.repeat(62_000)]), 16_000)],
  'a PING': id => [makeFrame(FrameType.ping, 0, 0, '12345678'), only(id)],
  'one stream at once': id => [makeSettings([3, 1]), only(id)],
  'empty DATA': id => [Buffer.concat([head(id), makeData(id, ''), makeData(id, ''), makeData(id, '')])],
  'DATA behind the end': id => [only(id), makeData(id, 'x', true)],
  'DATA above the largest size': id => [head(id), makeData(id, Buffer.alloc(16_385))],
  'an increment of 0': id => [makeFrame(FrameType.windowUpdate, 0, id, uint32(0))],
};

export const responseFrameCases: FrameCase[] = Object.entries(answers).map(([name, answer]) => ({
  name: `upstream frames: ${name}`,
  answer,
  cluster: http2Cluster(),
  ...(name.includes('GOAWAY') ? { stats: exceptProtocolErrors } : {}),
}));
