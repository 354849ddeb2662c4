/** Chunked transfer coding on the way out. */
import type { Connection } from '../../network/connection.ts';

/** Up to this many bytes a chunk is one string: cheaper than three writes. */
const maxInlineBytes = 1024;

/** Writes one chunk, and the last chunk behind it if the body ends; returns the bytes written. */
export function writeChunk(connection: Connection, data: Buffer, last: boolean): number {
  const size = `${data.length.toString(16)}\r\n`;
  const end = last ? '\r\n0\r\n\r\n' : '\r\n';
  if (data.length <= maxInlineBytes) {
    connection.writeLatin1(size + data.toString('latin1', 0, data.length) + end, false);
  } else {
    connection.writeLatin1(size, false);
    connection.write(data, false);
    connection.writeLatin1(end, false);
  }
  return size.length + data.length + end.length;
}
