/** A reference point: the least that Node can do, two sockets with a pipe each way. `tcp-relay-reference.ts NAME PORT TARGET_PORT`. */
import { connect, createServer } from 'node:net';
import { pipeline } from 'node:stream';

const [port, targetPort] = process.argv.slice(3).map(Number);
const ignoreEnd = () => {};

createServer({ allowHalfOpen: true, noDelay: true }, socket => {
  const upstream = connect({ port: targetPort, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  pipeline(socket, upstream, ignoreEnd);
  pipeline(upstream, socket, ignoreEnd);
}).listen(port, '127.0.0.1');
