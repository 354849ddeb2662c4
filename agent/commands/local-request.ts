/** HTTP requests of the short commands. */
import { type IncomingMessage, type RequestOptions, request } from 'node:http';

export type LocalRequest = { readonly method: string; readonly url: string; readonly body?: string; readonly timeoutMs: number };

/** Other addresses the system's resolver does not know either, and to load it takes as long as the request. */
const localhostAddresses = ['127.0.0.1', '::1'] as const;

/** Calls `onResponse` once the headers are there, `onError` with method and URL in the message if anything fails. */
export function sendLocally(
  { method, url, body = '', timeoutMs }: LocalRequest,
  onResponse: (response: IncomingMessage) => void,
  onError: (error: Error) => void,
): void {
  const verb = `${method.charAt(0).toUpperCase()}${method.slice(1).toLowerCase()}`;
  const fail = (error: Error): void => onError(new Error(`${verb} "${url}": ${error.message || String(error)}`));
  const { hostname, host } = new URL(url);
  const options: RequestOptions & { readonly servername: string } = {
    method: method.toUpperCase(),
    agent: false,
    signal: AbortSignal.timeout(timeoutMs),
    headers: { host },
    // Else its search for an address in the host's name costs a tenth of the whole.
    servername: '',
  };
  const attempt = (address: string | undefined, onFailure: (error: Error) => void): void => {
    const exchange = request(url, { ...options, ...(address === undefined ? {} : { hostname: address }) }, response => {
      response.on('error', fail);
      onResponse(response);
    });
    exchange.on('error', onFailure);
    exchange.end(body);
  };
  if (hostname !== 'localhost') {
    attempt(undefined, fail);
    return;
  }
  const [first, second] = localhostAddresses;
  attempt(first, error => {
    if ((error as NodeJS.ErrnoException).code === 'ECONNREFUSED') attempt(second, () => fail(error));
    else fail(error);
  });
}
