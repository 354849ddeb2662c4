/** HTTP requests of the short commands. */
import { type IncomingMessage, request } from 'node:http';
import type { LookupFunction } from 'node:net';

export type LocalRequest = { readonly method: string; readonly url: string; readonly body?: string; readonly timeoutMs: number };

/** The system's resolver knows no other addresses of `localhost`, and takes longer to load than the request. */
const lookUpLocalhost: LookupFunction = (_host, { all }, callback) => {
  const [v4, v6] = [
    { address: '127.0.0.1', family: 4 },
    { address: '::1', family: 6 },
  ];
  if (all) callback(null, [v4, v6]);
  else callback(null, v4.address, v4.family);
};

/** Calls `onResponse` once the headers are there, `onError` with method and URL in the message if anything fails. */
export function sendLocally(
  { method, url, body = '', timeoutMs }: LocalRequest,
  onResponse: (response: IncomingMessage) => void,
  onError: (error: Error) => void,
): void {
  const verb = `${method.charAt(0).toUpperCase()}${method.slice(1).toLowerCase()}`;
  const fail = (error: Error): void => onError(new Error(`${verb} "${url}": ${describe(error)}`));
  const options = {
    method: method.toUpperCase(),
    agent: false,
    signal: AbortSignal.timeout(timeoutMs),
    ...(new URL(url).hostname === 'localhost' ? { lookup: lookUpLocalhost } : {}),
  };
  const exchange = request(url, options, response => {
    response.on('error', fail);
    onResponse(response);
  });
  exchange.on('error', fail);
  exchange.end(body);
}

/** Where both addresses of a name fail, only the failures of each have a text. */
function describe(error: Error): string {
  if (error instanceof AggregateError) return describe(error.errors[0] as Error);
  return error.message || String(error);
}
