/**
 * Both HTTP/1 codecs against valid and damaged messages: whatever arrives, in whatever pieces, the events are the same as if it
 * had arrived at once, and nothing is thrown.
 */
import t from 'tap';
import type { RequestDecoder, ResponseDecoder, ResponseEncoder } from '../../proxy/http/codec.ts';
import { createClientCodec } from '../../proxy/http/h1/client-codec.ts';
import { Http1ServerCodec } from '../../proxy/http/h1/server-codec.ts';
import { HeaderMap } from '../../proxy/http/header-map.ts';
import type { Connection } from '../../proxy/network/connection.ts';
import { fuzzPlan, Random } from '../support/random.ts';
import { generateRequests, generateResponse, mutate, split } from './http1-grammar.ts';

const { seed, count } = fuzzPlan(100_000);

/** A connection that only remembers how it ended. */
function createSink(): Connection & { ended: string } {
  return {
    ended: '',
    state: 'open',
    info: { transportFailureReason: '' },
    bufferedBytes: 0,
    write() {},
    writeLatin1() {},
    readDisable() {},
    close(this: { ended: string; state: string }, type: string) {
      this.ended = type;
      this.state = 'closed';
    },
    setDelayedCloseTimeoutMs() {},
  } as unknown as Connection & { ended: string };
}

const describeHeaders = (headers: HeaderMap) =>
  `${headers.method} ${headers.authority} ${headers.path} ${headers.status} ${JSON.stringify(headers.entries)}`;

/** Events of one stream; consecutive pieces of a body are one event. */
class Recorder {
  readonly events: string[] = [];
  bodyBytes = 0;
  #body = '';

  data(data: Buffer, endStream: boolean): void {
    this.bodyBytes += data.length;
    this.#body += data.toString('latin1');
    if (endStream) this.add('end');
  }

  add(event: string): void {
    if (this.#body !== '') this.events.push(`body ${this.#body}`);
    this.#body = '';
    this.events.push(event);
  }

  reset(reason: string): void {
    if (reason === 'protocol-error') this.complain(`reset ${reason}`);
    else this.add(`reset ${reason}`);
  }

  /** How much of a broken body comes before the complaint depends on the pieces, as it does in Envoy. */
  complain(event: string): void {
    this.#body = '';
    this.events.push(event);
  }
}

const serverOptions = {
  acceptHttp10: false,
  defaultHostForHttp10: '',
  allowAbsoluteUrl: true,
  enableTrailers: true,
  allowChunkedLength: false,
  headersWithUnderscores: 'allow',
  preserveCase: false,
  maxHeadersCount: 100,
  maxHeadBytes: 60 * 1024,
} as const;

/** What the codec wants to do when it is left: run by hand, since a turn of the event loop per input would take most of the time. */
const tasks: (() => void)[] = [];
const { queueMicrotask } = globalThis;

function runTasks(): void {
  for (let task = tasks.shift(); task !== undefined; task = tasks.shift()) task();
}

function runServer(pieces: Iterable<Buffer>): Recorder {
  const recorder = new Recorder();
  const connection = createSink();
  const answer = new HeaderMap();
  answer.status = 200;
  answer.add('content-length', '0');
  const newStream = (encoder: ResponseEncoder): RequestDecoder => {
    let answered = false;
    const end = () => {
      if (!answered) encoder.encodeHeaders(answer.clone(), true);
      answered = true;
    };
    return {
      onRequestHeaders(headers, endStream) {
        recorder.add(`headers ${describeHeaders(headers)} ${endStream}`);
        if (endStream) end();
      },
      onRequestData(data, endStream) {
        recorder.data(data, endStream);
        if (endStream) end();
      },
      onRequestTrailers(trailers) {
        recorder.add(`trailers ${describeHeaders(trailers)}`);
        end();
      },
      // Of several errors in one head, which one is met first depends on the pieces, as it does in Envoy.
      sendLocalReply() {
        recorder.complain('reject');
        answered = true;
      },
      onEncodeComplete() {},
      onReset: reason => recorder.reset(reason),
      onAboveWriteBufferHighWatermark() {},
      onBelowWriteBufferLowWatermark() {},
    };
  };
  const codec = new Http1ServerCodec(connection, serverOptions, {
    newStream,
    onProtocolError: () => recorder.complain('protocol error'),
  });
  globalThis.queueMicrotask = task => tasks.push(task);
  for (const piece of pieces) {
    codec.dispatch(Buffer.from(piece), false); // a copy: the read buffer is the caller's
    runTasks();
  }
  globalThis.queueMicrotask = queueMicrotask;
  recorder.add(`closed ${connection.ended}`);
  return recorder;
}

function runClient(pieces: Iterable<Buffer>): Recorder {
  const recorder = new Recorder();
  let complete = false;
  const connection = createSink();
  const options = { enableTrailers: true, allowChunkedLength: false, maxHeadersCount: 100, maxHeadBytes: 60 * 1024 };
  const codec = createClientCodec(connection, options as never, {
    // Bytes behind the response are an error that depends on when they arrive: not part of this comparison.
    onStreamComplete: () => {
      recorder.add('complete');
      complete = true;
    },
    onGoAway() {},
    onProtocolError: () => {
      if (!complete) recorder.complain('protocol error');
    },
  });
  const decoder: ResponseDecoder = {
    onResponse1xxHeaders: headers => recorder.add(`1xx ${describeHeaders(headers)}`),
    onResponseHeaders: (headers, endStream) => recorder.add(`headers ${describeHeaders(headers)} ${endStream}`),
    onResponseData: (data, endStream) => recorder.data(data, endStream),
    onResponseTrailers: trailers => recorder.add(`trailers ${describeHeaders(trailers)}`),
    onReset: reason => recorder.reset(reason),
    onAboveWriteBufferHighWatermark() {},
    onBelowWriteBufferLowWatermark() {},
  };
  const request = new HeaderMap();
  request.method = 'GET';
  request.path = '/';
  request.authority = 'h';
  codec.newStream(decoder).encodeHeaders(request, true);
  for (const piece of pieces) codec.dispatch(Buffer.from(piece), false);
  codec.onConnectionClose('connection-termination');
  recorder.add('closed');
  return recorder;
}

t.test('requests', { timeout: 300_000 }, async t => {
  t.comment(`FUZZ_SEED=${seed} FUZZ_COUNT=${count}`);
  let withBody = 0;
  for (let index = 0; index < count; index++) {
    const random = new Random(seed + index);
    const valid = generateRequests(random);
    const text = random.chance(0.5) ? mutate(valid, random) : valid;
    const bytes = Buffer.from(text, 'latin1');
    const whole = runServer([bytes]);
    const pieces = runServer(split(bytes, random));
    if (whole.bodyBytes > 0) withBody++;
    if (JSON.stringify(whole.events) !== JSON.stringify(pieces.events)) {
      t.same(
        pieces.events,
        whole.events,
        `seed ${seed + index}: pieces and whole differ for ${JSON.stringify(text).slice(0, 500)}`,
      );
      return;
    }
  }
  t.ok(withBody > count * 0.3, `${withBody} of ${count} inputs reached a body`);
});

t.test('responses', { timeout: 300_000 }, async t => {
  let withBody = 0;
  for (let index = 0; index < count; index++) {
    const random = new Random(seed + index);
    const valid = generateResponse(random);
    const text = random.chance(0.5) ? mutate(valid, random) : valid;
    const bytes = Buffer.from(text, 'latin1');
    const whole = runClient([bytes]);
    const pieces = runClient(split(bytes, random));
    if (whole.bodyBytes > 0) withBody++;
    if (JSON.stringify(whole.events) !== JSON.stringify(pieces.events)) {
      t.same(
        pieces.events,
        whole.events,
        `seed ${seed + index}: pieces and whole differ for ${JSON.stringify(text).slice(0, 500)}`,
      );
      return;
    }
  }
  t.ok(withBody > count * 0.3, `${withBody} of ${count} inputs reached a body`);
});
