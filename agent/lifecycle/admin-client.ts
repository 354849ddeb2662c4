/** The agent's requests to the proxy's admin interface. */
import { request } from 'node:http';

export type AdminResponse = { readonly status: number; readonly body: string };

/** Sends one request. Rejects if there is no answer within `timeoutMs`. */
export function requestAdmin(
  host: string,
  port: number,
  method: 'GET' | 'POST',
  path: string,
  timeoutMs: number,
): Promise<AdminResponse> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(timeoutMs);
    const exchange = request({ host, port, method, path, agent: false, signal }, response => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
    });
    exchange.on('error', error => reject(signal.aborted ? new Error(`timeout after ${timeoutMs}ms`) : error));
    exchange.end();
  });
}
