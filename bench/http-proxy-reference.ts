/**
 * A reference point that Node users know: http-proxy or http-proxy-3 with a keep-alive agent. `http-proxy-reference.ts MODULE PORT
 * TARGET_PORT`.
 */
import { Agent, createServer } from 'node:http';
import { createRequire } from 'node:module';

const [name, port, targetPort] = process.argv.slice(2);
const { createProxyServer } = createRequire(import.meta.url)(name) as typeof import('http-proxy-3');
const agent = new Agent({ keepAlive: true, maxSockets: 256 });
const proxy = createProxyServer({ target: `http://127.0.0.1:${targetPort}`, agent });
proxy.on('error', (error: Error) => console.error(error.message));
createServer((request, response) => proxy.web(request, response)).listen(Number(port), '127.0.0.1');
