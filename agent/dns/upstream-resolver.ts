/** Forwards queries to the nameservers of resolv.conf, over the transport on which they came. */
import { createSocket } from 'node:dgram';
import { connect, isIP } from 'node:net';
import { agentMetrics } from '../metrics.ts';
import { isWellFormed } from './dns-query.ts';

const dnsPort = 53;

/** Tries the servers in random order; rejects if none answers. Parallel forwarding takes the first answer. */
export class UpstreamResolver {
  readonly #servers: readonly string[];
  readonly #timeoutMs: number;
  readonly #parallel: boolean;

  constructor(servers: readonly string[], timeoutMs: number, parallel: boolean) {
    this.#servers = servers;
    this.#timeoutMs = timeoutMs;
    this.#parallel = parallel;
  }

  async resolve(query: Buffer, overTcp: boolean): Promise<Buffer> {
    agentMetrics.dnsUpstreamRequests.increment();
    const startMs = performance.now();
    const servers = this.#servers.toSorted(() => Math.random() - 0.5);
    const ask = (server: string): Promise<Buffer> =>
      overTcp ? askOverTcp(server, query, this.#timeoutMs) : askOverUdp(server, query, this.#timeoutMs);
    try {
      if (this.#parallel) return await Promise.any(servers.map(ask));
      for (const server of servers) {
        const answer = await ask(server).catch(() => null);
        if (answer !== null) return answer;
        agentMetrics.dnsUpstreamFailures.increment();
      }
      throw new Error('no nameserver answered');
    } finally {
      agentMetrics.dnsUpstreamDurationSeconds.record((performance.now() - startMs) / 1000);
    }
  }
}

function askOverUdp(server: string, query: Buffer, timeoutMs: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIP(server) === 6 ? 'udp6' : 'udp4');
    const timer = setTimeout(() => settle(new Error('timeout')), timeoutMs);
    const settle = (result: Buffer | Error): void => {
      clearTimeout(timer);
      socket.close();
      if (result instanceof Error) reject(result);
      else resolve(result);
    };
    socket.once('error', settle);
    socket.on('message', message => {
      // A connected socket hears its server alone; the id sorts out a late answer.
      if (!isAnswerTo(message, query)) return;
      settle(isWellFormed(message) ? message : new Error('a malformed answer'));
    });
    socket.connect(dnsPort, server, () => socket.send(query));
  });
}

function askOverTcp(server: string, query: Buffer, timeoutMs: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: server, port: dnsPort });
    const timer = setTimeout(() => socket.destroy(new Error('timeout')), timeoutMs);
    let received = Buffer.alloc(0);
    socket.once('connect', () => socket.write(frameMessage(query)));
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const message = received.subarray(2, 2 + received.readUInt16BE(0));
      if (isAnswerTo(message, query) && isWellFormed(message)) resolve(message);
      socket.destroy();
    });
    socket.once('error', reject);
    socket.once('close', () => {
      clearTimeout(timer);
      reject(new Error('closed without an answer'));
    });
  });
}

function isAnswerTo(message: Buffer, query: Buffer): boolean {
  return message.length >= 2 && message.readUInt16BE(0) === query.readUInt16BE(0);
}

/** With the length that precedes a message on TCP. */
export function frameMessage(message: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  return Buffer.concat([length, message]);
}
