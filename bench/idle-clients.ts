/**
 * Opens connections, sends one request on each, a few at a time, and holds them: `idle-clients.ts PORT COUNT plain|tls`. Writes
 * a line when all are answered; ends with its standard input.
 */
import { connect as connectPlain, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

const [port, count] = process.argv.slice(2, 4).map(Number);
const isTls = process.argv[4] === 'tls';
const concurrent = 8;
const held: Socket[] = [];

function openConnection(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const options = { port, host: '127.0.0.1', rejectUnauthorized: false };
    const socket = isTls ? connectTls(options) : connectPlain(options);
    socket.write('GET / HTTP/1.1\r\nhost: bench\r\n\r\n');
    socket.once('data', () => resolve(socket)).on('error', reject);
  });
}

let begun = 0;

async function openSome(): Promise<void> {
  while (begun++ < count) held.push(await openConnection());
}

await Promise.all(Array.from({ length: concurrent }, openSome));
console.log(held.length);
process.stdin.on('end', () => process.exit()).resume();
