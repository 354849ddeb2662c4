/** Requests and responses of HTTP/2 as peers could make them up: mostly right, often odd, sometimes against the rules. */
import type { Random } from '../../support/random.ts';
import { type Field, makeBlock, makeData, makeHeaders } from '../../support/http2-wire.ts';
import type { FrameCase } from './frame-exchange.ts';
import { http2Cluster } from './http2-case.ts';

const names =
  'accept host cookie te content-length transfer-encoding connection upgrade expect via user-agent x-a x-forwarded-for x-forwarded-proto x-forwarded-host x-request-id x-envoy-retry-on x-envoy-upstream-rq-timeout-ms grpc-timeout content-type keep-alive a_b authorization set-cookie server date etag grpc-status x-envoy-internal priority'.split(
    ' ',
  );
const oddNames = ['http2-settings', 'proxy-connection', ':', ':unknown', ':path', 'X-Upper', 'sp ace', 'nul\0l', '', ' ', '\xe4'];
const values = ['x', '3', 'a=b', 'trailers', 'h', ''];
const oddValues = [
  'a b',
  ' lead',
  'trail ',
  'tab\t',
  '0',
  '5',
  '-1',
  '+3',
  '03',
  '3,3',
  '3, 3',
  'TRAILERS',
  'a=b; c=d',
  'a\0b',
].concat(
  ['a\rb', 'a\nb', '\x7f', '\xfc', 'chunked', 'gzip', 'close', 'h:80', 'h:x', 'user@h', '[::1]', '100-continue', '1S'],
  ['application/grpc', 'websocket', 'y'.repeat(200)],
);
const methods = ['GET', 'POST', 'HEAD', 'PUT', 'OPTIONS'];
const oddMethods = ['CONNECT', '', 'get', 'FOO', 'G T', 'TRACE', 'PRI', 'M-SEARCH', 'DELETE'];
const oddSchemes = ['https', '', 'HTTP', 'HTTPS', 'ftp', 'ht tp', '1a', 'a+b'];
const oddAuthorities = ['', 'h:80', 'H', 'u@h', '[::1]:8', 'h h', 'h/x', '\xe4', 'h:x', 'h?'];
const oddPaths = ['', '*', '/a//b', '/a/../b', '/%2e', 'a', 'http://h/', '/?q', '/#f', '/a b', '/\xe4', '/\x7f', '/%zz'].concat([
  '//',
  '/./',
  '/a;b',
  '?x',
  '/a\\b',
]);
const statuses = ['200', '204', '304', '404', '503'];
const oddStatuses = ['100', '103', '101', '199', '600', '999', '0', '99', '20', '2000', 'abc', '', '205', '302'];

function pickMostly(random: Random, usual: readonly string[], odd: readonly string[]): string {
  return random.pick(random.chance(0.8) ? usual : odd);
}

function makeFields(random: Random, limit: number): Field[] {
  return Array.from(
    { length: random.below(limit) },
    (): Field => [pickMostly(random, names, oddNames), pickMostly(random, values, oddValues)],
  );
}

function makePseudo(random: Random): Field[] {
  const fields: Field[] = [
    [':method', pickMostly(random, methods, oddMethods)],
    [':scheme', pickMostly(random, ['http'], oddSchemes)],
    [':authority', pickMostly(random, ['h'], oddAuthorities)],
    [':path', pickMostly(random, ['/'], oddPaths)],
  ];
  if (random.chance(0.1)) fields.splice(random.below(4), 1);
  if (random.chance(0.05)) fields.push(random.pick(fields));
  if (random.chance(0.05)) fields.push([':protocol', random.pick(['websocket', '', 'x'])]);
  if (random.chance(0.04)) fields.push(['x-early', '1'], fields.shift() as Field);
  return fields;
}

/** A message that is not over with its headers: body in pieces or none, trailers or none. */
interface Rest {
  readonly pieces: readonly string[];
  readonly trailers: readonly Field[] | null;
  readonly trailersEnd: boolean;
}

function makeRest(random: Random): Rest | null {
  if (random.chance(0.5)) return null;
  return {
    pieces: random.pick([[], ['abc'], ['ab', 'c', '']]),
    trailers: random.chance(0.5) ? makeFields(random, 4) : null,
    trailersEnd: random.chance(0.9),
  };
}

function makeFrames(streamId: number, head: readonly Field[], rest: Rest | null): Buffer[] {
  const frames = [makeHeaders(streamId, makeBlock(...head), rest === null)];
  if (rest === null) return frames;
  const { pieces, trailers, trailersEnd } = rest;
  const last = pieces.length - 1;
  for (const [index, piece] of pieces.entries()) frames.push(makeData(streamId, piece, trailers === null && index === last));
  if (trailers !== null) frames.push(makeHeaders(streamId, makeBlock(...trailers), trailersEnd));
  else if (last === -1) frames.push(makeData(streamId, '', true));
  return frames;
}

function describe(head: readonly Field[], rest: Rest | null): string {
  const text = (fields: readonly Field[]) => fields.map(([name, value]) => `${name}=${value.slice(0, 30)}`).join(' ');
  const body = rest === null ? '' : ` body ${rest.pieces} trailers ${rest.trailers === null ? '-' : text(rest.trailers)}`;
  return JSON.stringify(text(head) + body);
}

const okFrames = (streamId: number) => [makeHeaders(streamId, makeBlock([':status', '200']), true)];

/** A request of any shape, to an upstream of either version that answers 200. */
export function makeRequestCase(random: Random, name: string): FrameCase {
  const head = [...makePseudo(random), ...makeFields(random, 5)];
  const rest = makeRest(random);
  const frames = makeFrames(1, head, rest);
  return {
    name: `${name}: request ${describe(head, rest)}`,
    send: random.chance(0.5) ? frames : [Buffer.concat(frames)],
    ...(random.chance(0.5) ? {} : { cluster: http2Cluster(), answer: okFrames }),
  };
}

/** A response of any shape, to a client of either version. */
export function makeResponseCase(random: Random, name: string): FrameCase {
  const head: Field[] = random.chance(0.05) ? [] : [[':status', pickMostly(random, statuses, oddStatuses)]];
  if (random.chance(0.04)) head.push([':status', '200']);
  if (random.chance(0.04)) head.push([':path', '/']);
  head.push(...makeFields(random, 5));
  const rest = makeRest(random);
  const method = random.pick(['GET', 'HEAD', 'POST']);
  const request = makeBlock([':method', method], [':scheme', 'http'], [':authority', 'h'], [':path', '/']);
  const isWhole = random.chance(0.5);
  const isFromHttp1 = random.chance(0.5);
  return {
    name: `${name}: response to ${isFromHttp1 ? 'HTTP/1' : method} ${describe(head, rest)}`,
    cluster: http2Cluster(),
    answer: streamId => {
      const frames = makeFrames(streamId, head, rest);
      return isWhole ? [Buffer.concat(frames)] : frames;
    },
    ...(isFromHttp1 ? {} : { send: [makeHeaders(1, request)] }),
  };
}
