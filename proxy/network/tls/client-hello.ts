/**
 * Reads a TLS ClientHello as far as it has arrived: server name and ALPN, whatever the split into records and segments. Nothing
 * is verified beyond what is needed to find them; the handshake itself does that.
 *
 * Source: RFC 8446 4.1.2, RFC 6066 3, RFC 7301; limits as Envoy's TLS inspector.
 */

/** Largest hello that is looked at, bytes (Envoy's TLS inspector has the same limit). */
export const maxClientHelloBytes = 65_536;

export type ClientHelloResult =
  | { readonly kind: 'incomplete' }
  /** The first bytes cannot begin a TLS connection, or the hello is malformed. */
  | { readonly kind: 'not-tls' }
  | { readonly kind: 'hello'; readonly serverName: string; readonly alpnProtocols: readonly string[] };

const incomplete: ClientHelloResult = { kind: 'incomplete' };
const notTls: ClientHelloResult = { kind: 'not-tls' };

const handshakeRecord = 22;
const clientHelloMessage = 1;
const maxRecordBytes = 16_384 + 256;
const extensionServerName = 0;
const extensionAlpn = 16;

/** `bytes` is everything received so far. */
export function parseClientHello(bytes: Uint8Array): ClientHelloResult {
  const message = collectHandshake(bytes);
  if (!(message instanceof Uint8Array)) return message;
  return readHello(message) ?? notTls;
}

/** The body of the first handshake message, joined over its records. */
function collectHandshake(bytes: Uint8Array): Uint8Array | ClientHelloResult {
  const parts: Uint8Array[] = [];
  let collected = 0;
  let wanted = -1;
  for (let offset = 0; ; ) {
    const header = checkRecordHeader(bytes, offset, collected);
    if (header !== null) return header;
    const length = (bytes[offset + 3] << 8) | bytes[offset + 4];
    const part = bytes.subarray(offset + 5, offset + 5 + length);
    parts.push(part);
    collected += part.length;
    const body = parts.length === 1 ? part : Buffer.concat(parts);
    if (body.length > 0 && body[0] !== clientHelloMessage) return notTls;
    if (body.length >= 4) wanted = 4 + ((body[1] << 16) | (body[2] << 8) | body[3]);
    if (wanted > maxClientHelloBytes) return notTls;
    if (wanted >= 0 && collected >= wanted) return body.subarray(4, wanted);
    if (part.length < length) return incomplete;
    offset += 5 + length;
  }
}

function checkRecordHeader(bytes: Uint8Array, offset: number, collected: number): ClientHelloResult | null {
  const left = bytes.length - offset;
  if (left > 0 && bytes[offset] !== handshakeRecord) return notTls;
  if (left > 1 && bytes[offset + 1] !== 3) return notTls;
  if (left < 5) return bytes.length > maxClientHelloBytes ? notTls : incomplete;
  const length = (bytes[offset + 3] << 8) | bytes[offset + 4];
  if (length === 0 || length > maxRecordBytes || collected > maxClientHelloBytes) return notTls;
  return null;
}

/** Null if the message is cut short somewhere. */
function readHello(body: Uint8Array): ClientHelloResult | null {
  let offset = 2 + 32;
  offset += 1 + body[offset];
  if (!(offset + 2 <= body.length)) return null;
  offset += 2 + ((body[offset] << 8) | body[offset + 1]);
  if (!(offset + 1 <= body.length)) return null;
  offset += 1 + body[offset];
  if (offset > body.length) return null;
  let serverName = '';
  let alpnProtocols: readonly string[] = [];
  if (offset + 2 > body.length) return { kind: 'hello', serverName, alpnProtocols };
  const end = offset + 2 + ((body[offset] << 8) | body[offset + 1]);
  if (end > body.length) return null;
  for (offset += 2; offset + 4 <= end; ) {
    const type = (body[offset] << 8) | body[offset + 1];
    const length = (body[offset + 2] << 8) | body[offset + 3];
    const extension = body.subarray(offset + 4, offset + 4 + length);
    if (offset + 4 + length > end) return null;
    if (type === extensionServerName) serverName = readServerName(extension);
    else if (type === extensionAlpn) alpnProtocols = readAlpn(extension);
    offset += 4 + length;
  }
  return { kind: 'hello', serverName, alpnProtocols };
}

function readServerName(extension: Uint8Array): string {
  if (extension.length < 5 || extension[2] !== 0) return '';
  const length = (extension[3] << 8) | extension[4];
  if (5 + length > extension.length) return '';
  return Buffer.from(extension.subarray(5, 5 + length))
    .toString('latin1')
    .toLowerCase();
}

function readAlpn(extension: Uint8Array): readonly string[] {
  const protocols: string[] = [];
  for (let offset = 2; offset < extension.length; ) {
    const length = extension[offset];
    if (length === 0 || offset + 1 + length > extension.length) break;
    protocols.push(Buffer.from(extension.subarray(offset + 1, offset + 1 + length)).toString('latin1'));
    offset += 1 + length;
  }
  return protocols;
}
