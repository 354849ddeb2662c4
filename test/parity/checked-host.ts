/** A host that answers checks as its case says, and requests with a status of their choice. */
import http2 from 'node:http2';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { CheckAnswer, HealthCase } from './health-cases.ts';

/** Nothing listens here. */
const deadPort = 1;
const head = /^[A-Z]+ [^\r]+\r\n(?:[^\r\n]+\r\n)*\r\n/;

export class CheckedHost {
  readonly #case: HealthCase;
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  /** What came with each check, in order. */
  readonly checks: string[] = [];
  /** Connections that checks came by. */
  connections = 0;

  constructor(healthCase: HealthCase) {
    this.#case = healthCase;
  }

  /** The port. */
  async listen(): Promise<number> {
    if (this.#case.isAbsent) return deadPort;
    const isHttp2 = this.#case.answers.some(answer => 'http2' in answer);
    const server = isHttp2 ? this.#createHttp2() : createServer(socket => this.#serve(socket));
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => {});
    });
    this.#servers.push(server as Server);
    await new Promise<void>(resolve => (server as Server).listen(0, '127.0.0.1', resolve));
    return ((server as Server).address() as AddressInfo).port;
  }

  close(): void {
    for (const server of this.#servers) server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  get expectedChecks(): number {
    return this.#case.checks ?? this.#case.answers.length + 1;
  }

  #nextAnswer(check: string): CheckAnswer | undefined {
    const answer = this.#case.answers[this.checks.length];
    this.checks.push(check);
    return answer;
  }

  #serve(socket: Socket): void {
    let received = '';
    let isCounted = false;
    const isTcp = 'tcp_health_check' in this.#case.check;
    socket.on('data', chunk => {
      received += chunk.toString('latin1');
      while (isTcp ? received !== '' : head.test(received)) {
        const length = Number(/content-length: (\d+)/.exec(received)?.[1] ?? 0);
        const end = isTcp ? received.length : received.indexOf('\r\n\r\n') + 4 + length;
        if (received.length < end) return;
        const message = received.slice(0, end);
        received = received.slice(end);
        const status = /x-status: (\d+)/.exec(message)?.[1];
        if (status !== undefined) socket.write(`HTTP/1.1 ${status} S\r\ncontent-length: 0\r\n\r\n`);
        else {
          if (!isCounted) this.connections++;
          isCounted = true;
          answerCheck(socket, this.#nextAnswer(message));
        }
      }
    });
  }

  #createHttp2(): http2.Http2Server {
    const server = http2.createServer();
    server.on('stream', (stream: http2.ServerHttp2Stream, headers) => {
      stream.on('error', () => {});
      const body: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => body.push(chunk));
      stream.on('end', () => {
        // Neither promises an order of the pseudo headers.
        const lines = Object.entries(headers)
          .map(([name, value]) => `${name}: ${value}`)
          .sort();
        const answer = this.#nextAnswer(`${lines.join('\n')}\n${Buffer.concat(body).toString('hex')}`);
        if (answer === undefined || !('http2' in answer)) return;
        const { http2: head, data, trailers } = answer;
        if (trailers === undefined) stream.respond(head, { endStream: true });
        else {
          stream.respond(head, { waitForTrailers: true });
          stream.on('wantTrailers', () => stream.sendTrailers(trailers as http2.OutgoingHttpHeaders));
          stream.end(data);
        }
      });
    });
    return server;
  }
}

function answerCheck(socket: Socket, answer: CheckAnswer | undefined): void {
  if (answer === undefined || 'hang' in answer) return;
  if ('close' in answer) socket.end();
  else if ('respond' in answer) socket.write(answer.respond);
}
