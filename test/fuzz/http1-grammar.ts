/** Valid HTTP/1 messages from a grammar, and mutations of them. */
import type { Random } from '../support/random.ts';

const methods = ['GET', 'POST', 'PUT', 'HEAD', 'DELETE', 'OPTIONS', 'PATCH'];
const targets = ['/', '/a/b?c=d', '/%41%2f..', 'http://host/x', '*', '/ä', '/a;b=c'];
const names = ['accept', 'X-Custom', 'user-agent', 'cookie', 'x-forwarded-for', 'via', 'expect', 'te', 'a'.repeat(300)];
const values = ['', 'x', 'a, b', '100-continue', 'keep-alive', '"quoted"', 'y'.repeat(500), '\t padded \t', 'ä'];
const junk = [
  '\0',
  '\r',
  '\n',
  '\r\n',
  ' ',
  ':',
  '\x7f',
  '\xff',
  '0',
  '\r\n\r\n',
  'HTTP/1.1',
  '\t',
  ';',
  ',',
  '-1',
  'ffffffffffffffff',
];

function renderHeaders(random: Random): string {
  let text = '';
  for (let count = random.below(6); count > 0; count--) text += `${random.pick(names)}: ${random.pick(values)}\r\n`;
  return text;
}

function renderBody(random: Random): { header: string; body: string } {
  const body = 'b'.repeat(random.below(random.chance(0.1) ? 20_000 : 60));
  if (random.chance(0.4)) return { header: `content-length: ${body.length}\r\n`, body };
  let chunks = '';
  for (let at = 0; at < body.length; ) {
    const size = 1 + random.below(body.length - at);
    const extension = random.chance(0.2) ? ';name=value' : '';
    chunks += `${size.toString(16)}${extension}\r\n${body.slice(at, at + size)}\r\n`;
    at += size;
  }
  const trailers = random.chance(0.2) ? 'x-trailer: t\r\n' : '';
  return { header: 'transfer-encoding: chunked\r\n', body: `${chunks}0\r\n${trailers}\r\n` };
}

/** One to three pipelined requests. */
export function generateRequests(random: Random): string {
  let text = '';
  for (let count = 1 + random.below(3); count > 0; count--) {
    const { header, body } = random.chance(0.6) ? renderBody(random) : { header: '', body: '' };
    text += `${random.pick(methods)} ${random.pick(targets)} HTTP/1.${random.chance(0.95) ? 1 : 0}\r\nhost: h\r\n${renderHeaders(random)}${header}\r\n${body}`;
  }
  return text;
}

/** One response, perhaps after informational ones. */
export function generateResponse(random: Random): string {
  const informational = random.chance(0.1) ? 'HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n' : '';
  const { header, body } = random.chance(0.7)
    ? renderBody(random)
    : { header: random.chance(0.5) ? 'content-length: 0\r\n' : '', body: '' };
  const status = random.pick(['200 OK', '404 Not Found', '204 No Content', '304 Not Modified', '500 X', '302 Found']);
  return `${informational}HTTP/1.1 ${status}\r\n${renderHeaders(random)}${header}\r\n${body}`;
}

/** Damages a text in up to three places. */
export function mutate(text: string, random: Random): string {
  let mutated = text;
  for (let count = 1 + random.below(3); count > 0; count--) {
    const at = random.below(mutated.length + 1);
    const kind = random.below(5);
    if (kind === 0) mutated = mutated.slice(0, at) + random.pick(junk) + mutated.slice(at);
    else if (kind === 1) mutated = mutated.slice(0, at) + mutated.slice(at + 1 + random.below(4));
    else if (kind === 2) mutated = mutated.slice(0, at) + String.fromCharCode(random.below(256)) + mutated.slice(at + 1);
    else if (kind === 3) mutated = mutated.slice(0, at) + mutated.slice(at, at + random.below(40)) + mutated.slice(at);
    else mutated = mutated.slice(0, at);
  }
  return mutated;
}

/** Pieces of random size. */
export function* split(bytes: Buffer, random: Random): Generator<Buffer> {
  const typical = random.pick([1, 3, 20, 200, 5000]);
  for (let at = 0; at < bytes.length; ) {
    const size = 1 + random.below(typical);
    yield bytes.subarray(at, at + size);
    at += size;
  }
}
