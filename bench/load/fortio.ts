/** gRPC calls by fortio. */
import { findTool } from '../environment.ts';
import { runOnLoadCore } from './load-command.ts';

const checkedCalls = 20;

/** @throws unless calls of the ping service succeed, status and trailers included. */
export async function checkGrpc(port: number): Promise<void> {
  const args = ['-grpc', '-ping', '-c', '1', '-n', String(checkedCalls), '-qps', '0', '-json', '-', '-loglevel', 'Error'];
  const output = await runOnLoadCore([findTool('fortio'), 'load', ...args, `127.0.0.1:${port}`]);
  const { RetCodes: codes } = JSON.parse(output.slice(output.indexOf('{'))) as { RetCodes: Record<string, number> };
  if (codes.SERVING !== checkedCalls) throw new Error(`bench: gRPC calls ended with ${JSON.stringify(codes)}`);
}
