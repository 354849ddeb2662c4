/** `request`: one HTTP request to a port of the sidecar, for people and for exec hooks. */
import type { IncomingMessage } from 'node:http';
import { parseFlags } from './flags.ts';
import { sendLocally } from './local-request.ts';

const allowedPorts = [15000, 15004, 15020, 15021] as const;
const timeoutMs = 60_000;

/** @throws if the request cannot be made or fails. */
export async function runRequest(argv: readonly string[]): Promise<number> {
  const { flags, positional } = parseFlags({ 'debug-port': { kind: 'int', default: 15000 } } as const, argv);
  if (positional.length < 2) throw new Error(`requires at least 2 arg(s), only received ${positional.length}`);
  const port = flags['debug-port'];
  if (!(allowedPorts as readonly number[]).includes(port)) {
    throw new Error(`debug port ${port} is not in allowed list [${allowedPorts.join(' ')}]`);
  }
  const [method, path, body = ''] = positional;
  const url = `http://localhost:${port}/${path.replace(/^\//, '')}`;
  const response = await send(method, url, body);
  if (response.status > 399 && response.status !== 404) {
    throw new Error(`received unsuccessful status code ${response.status}: ${response.body.toString()}`);
  }
  // What is printed may be megabytes: wait until it is out.
  await new Promise<void>(resolve => {
    // A reader that has seen enough (`| head`) is no failure.
    process.stdout.once('error', () => resolve());
    process.stdout.write(Buffer.concat([response.body, Buffer.from('\n')]), () => resolve());
  });
  return 0;
}

function send(method: string, url: string, body: string): Promise<{ readonly status: number; readonly body: Buffer }> {
  return new Promise((resolve, reject) => {
    const onResponse = (response: IncomingMessage): void => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) }));
    };
    sendLocally({ method, url, body, timeoutMs }, onResponse, reject);
  });
}
