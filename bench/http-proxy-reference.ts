/**
 * A reference point that Node users know: http-proxy-3 with a keep-alive agent. `http-proxy-reference.ts PORT TARGET_PORT`.
 */
import { Agent, createServer } from 'node:http';
import { createProxyServer } from 'http-proxy-3';

const [port, targetPort] = process.argv.slice(2).map(Number);
const agent = new Agent({ keepAlive: true, maxSockets: 256 });
const proxy = createProxyServer({ target: `http://127.0.0.1:${targetPort}`, agent });
proxy.on('error', (error: Error) => console.error(error.message));
createServer((request, response) => proxy.web(request, response)).listen(port, '127.0.0.1');
