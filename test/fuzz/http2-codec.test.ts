/**
 * Both HTTP/2 codecs against valid and damaged frames: whatever arrives, in whatever pieces, users are told the same as if it had
 * arrived at once, nothing is thrown, no stream and no byte is left behind, and little input makes little output.
 */
import t from 'tap';
import type { ResponseDecoder } from '../../proxy/http/codec.ts';
import { createClientCodec } from '../../proxy/http/h2/client-codec.ts';
import { createServerCodec } from '../../proxy/http/h2/server-codec.ts';
import { fuzzPlan, Random } from '../support/random.ts';
import {
  describeHeaders,
  makeConnection,
  makeOptions,
  makeRequest,
  makeResponse,
  makeStats,
  type Stats,
} from '../unit/proxy/http/h2/codec-fixture.ts';
import { generateClientFrames, generateServerFrames, mutateFrames, splitBytes } from './http2-grammar.ts';

const { seed, count } = fuzzPlan(10_000);

/** Output that input of no bytes may have, and the most that a byte of input may cause. */
const baseOutputBytes = 2000;
const outputPerInputByte = 60;

/** Events of one stream; consecutive pieces of a body are one event, and nothing comes behind a reset. */
class Recorder {
  readonly events: string[] = [];
  readonly #bodies = new Map<string, string>();
  readonly #over = new Set<string>();

  add(stream: string, event: string): void {
    if (this.#over.has(stream)) throw new Error(`${stream} is told "${event}" after its end`);
    const body = this.#bodies.get(stream) ?? '';
    if (body !== '') this.events.push(`${stream} body ${body}`);
    this.#bodies.delete(stream);
    this.events.push(`${stream} ${event}`);
    if (event.startsWith('reset')) this.#over.add(stream);
  }

  data(stream: string, data: Buffer, endStream: boolean): void {
    if (this.#over.has(stream)) throw new Error(`${stream} is given data after its end`);
    this.#bodies.set(stream, (this.#bodies.get(stream) ?? '') + data.toString('latin1'));
    if (endStream) this.add(stream, 'end');
  }
}

const close = 'connection-termination';

function checkRemains(stats: Stats, outputBytes: number, inputBytes: number): void {
  for (const name of ['streams_active', 'pending_send_bytes']) {
    if ((stats.counts.get(name) ?? 0) !== 0) throw new Error(`${name} is ${stats.counts.get(name)} in the end`);
  }
  if (outputBytes > baseOutputBytes + inputBytes * outputPerInputByte) {
    throw new Error(`${inputBytes} bytes of input made ${outputBytes} bytes of output`);
  }
}

function runServer(pieces: Iterable<Buffer>): string[] {
  const recorder = new Recorder();
  const stats = makeStats();
  const connection = makeConnection(0);
  let streams = 0;
  const codec = createServerCodec(connection, makeOptions({}, stats), {
    newStream(encoder) {
      const name = `stream ${++streams}`;
      const answer = () => {
        encoder.encodeHeaders(makeResponse(200, 'content-length', '3'), false);
        encoder.encodeData(Buffer.from('abc'), true);
      };
      return {
        onRequestHeaders(headers, endStream) {
          recorder.add(name, `headers ${describeHeaders(headers)} ${endStream}`);
          if (endStream) answer();
        },
        onRequestData(data, endStream) {
          recorder.data(name, data, endStream);
          if (endStream) answer();
        },
        onRequestTrailers(trailers) {
          recorder.add(name, `trailers ${describeHeaders(trailers)}`);
          answer();
        },
        onReset: reason => recorder.add(name, `reset ${reason}`),
        sendLocalReply() {},
        onEncodeComplete() {},
        onAboveWriteBufferHighWatermark() {},
        onBelowWriteBufferLowWatermark() {},
      };
    },
    onProtocolError: details => recorder.add('connection', `error ${details}`),
  });
  let inputBytes = 0;
  for (const piece of pieces) {
    inputBytes += piece.length;
    codec.dispatch(Buffer.from(piece), false); // a copy: the read buffer is the caller's
  }
  codec.onConnectionClose(close);
  checkRemains(stats, Buffer.concat(connection.written).length, inputBytes);
  return recorder.events;
}

const clientStreams = 5;

function runClient(pieces: Iterable<Buffer>): string[] {
  const recorder = new Recorder();
  const stats = makeStats();
  const connection = makeConnection(0);
  let completed = 0;
  const codec = createClientCodec(connection, makeOptions({}, stats), {
    onStreamComplete: () => completed++,
    onGoAway: () => recorder.add('connection', 'goaway'),
    onProtocolError: details => recorder.add('connection', `error ${details}`),
  });
  for (let i = 0; i < clientStreams; i++) {
    const name = `stream ${i}`;
    const decoder: ResponseDecoder = {
      onResponse1xxHeaders: headers => recorder.add(name, `1xx ${describeHeaders(headers)}`),
      onResponseHeaders: (headers, endStream) => recorder.add(name, `headers ${describeHeaders(headers)} ${endStream}`),
      onResponseData: (data, endStream) => recorder.data(name, data, endStream),
      onResponseTrailers: trailers => recorder.add(name, `trailers ${describeHeaders(trailers)}`),
      onReset: reason => recorder.add(name, `reset ${reason}`),
      onAboveWriteBufferHighWatermark() {},
      onBelowWriteBufferLowWatermark() {},
    };
    codec.newStream(decoder).encodeHeaders(makeRequest(), true);
  }
  let inputBytes = 0;
  for (const piece of pieces) {
    inputBytes += piece.length;
    codec.dispatch(Buffer.from(piece), false);
  }
  codec.onConnectionClose(close);
  if (completed > clientStreams) throw new Error(`${completed} of ${clientStreams} streams completed`);
  checkRemains(stats, Buffer.concat(connection.written).length, inputBytes);
  return recorder.events;
}

const sides = {
  'requests to the server': { generate: generateClientFrames, run: runServer },
  'responses to the client': { generate: (random: Random) => generateServerFrames(random, clientStreams), run: runClient },
};

for (const [what, { generate, run }] of Object.entries(sides)) {
  t.test(what, { timeout: 300_000 }, async t => {
    t.comment(`FUZZ_SEED=${seed} FUZZ_COUNT=${count}`);
    let withBody = 0;
    for (let index = 0; index < count; index++) {
      const random = new Random(seed + index);
      const valid = generate(random);
      const bytes = Buffer.concat(random.chance(0.6) ? mutateFrames(valid, random) : valid);
      try {
        const whole = run([bytes]);
        const pieces = run(splitBytes(bytes, random));
        if (whole.some(event => event.includes(' body '))) withBody++;
        if (JSON.stringify(whole) === JSON.stringify(pieces)) continue;
        t.same(pieces, whole, `seed ${seed + index}: pieces and whole differ for ${bytes.toString('hex').slice(0, 2000)}`);
      } catch (error) {
        t.fail(`seed ${seed + index}: ${(error as Error).stack} for ${bytes.toString('hex').slice(0, 2000)}`);
      }
      return;
    }
    t.ok(withBody > count * 0.25, `${withBody} of ${count} inputs reached a body`);
  });
}
