/** The metadata server of a cloud, at the same address in all of them. */
import { request } from 'node:http';

/** It is on the machine itself or the next hop; a start does not wait longer for it. */
const timeoutMs = 1000;

export const metadataOrigin = 'http://169.254.169.254';

/** Google's libraries let GCE_METADATA_HOST (`host[:port]`) name another one. */
export function googleMetadataOrigin(host: string): string {
  return host === '' ? metadataOrigin : `http://${host}`;
}

/** The text at a path; null if there is none or no server. */
export function readMetadata(
  url: string,
  headers: Readonly<Record<string, string>> = {},
  method = 'GET',
): Promise<string | null> {
  return new Promise(resolve => {
    const options = { method, headers, agent: false, signal: AbortSignal.timeout(timeoutMs) };
    const exchange = request(url, options, response => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', () => resolve(null));
      response.on('end', () => resolve(response.statusCode === 200 ? Buffer.concat(chunks).toString() : null));
    });
    exchange.on('error', () => resolve(null));
    exchange.end();
  });
}
