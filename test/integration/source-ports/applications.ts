/**
 * Runs in a network namespace with few local ports: applications that echo, and clients that hold their connections through a
 * proxy. Prints how many were served, and from which addresses the applications saw them.
 *
 * Arguments: the ports of the applications, a colon, the ports of the proxy's listeners; and the connections of each.
 */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';

const [appPorts, listenerPorts] = process.argv[2].split(':').map(list => list.split(',').map(Number));
const connectionsEach = Number(process.argv[3]);
const deadlineMs = 20_000;

const sources = new Set<string>();
for (const port of appPorts) {
  const server = createServer(socket => {
    sources.add(socket.remoteAddress ?? '');
    socket.on('error', () => {});
    socket.on('data', data => socket.write(data));
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
}

/** A client binds nothing: a port that is bound is taken for all addresses, and the proxy's would be fewer. */
function open(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.on('connect', () => socket.write('x'));
    socket.on('data', () => resolve(true));
    socket.on('error', () => resolve(false));
    socket.on('close', () => resolve(false));
    socket.setTimeout(deadlineMs, () => resolve(false));
  });
}

const start = Date.now();
while (!(await open(listenerPorts[0])) && Date.now() - start < deadlineMs) await wait(50);
let served = 0;
for (const port of listenerPorts) {
  const results = await Promise.all(Array.from({ length: connectionsEach }, () => open(port)));
  served += results.filter(Boolean).length;
}
process.stdout.write(JSON.stringify({ served, sources: [...sources] }));
process.exit(0);
