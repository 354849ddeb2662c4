/**
 * The agent's HTTP server on 15020.
 *
 * Source: istio.io/istio pilot/cmd/pilot-agent/status/server.go.
 */
import { createServer } from 'node:net';
import { pipeline, Readable } from 'node:stream';
import { promisify } from 'node:util';
import { constants, createGzip, gzip } from 'node:zlib';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { JsonObject } from '../config/proto-json.ts';
import { explainSystemError } from '../failure-text.ts';
import { AgentLogger } from '../log.ts';
import type { AppProbe } from './app-probe-config.ts';
import { type ProbeTarget, runAppProbe } from './app-probe.ts';
import { type MergeOptions, mergeMetrics } from './metrics-merge.ts';
import type { ReadinessCheck } from './readiness.ts';

const log = new AgentLogger('default');

/** Smaller bodies are not worth it. */
const minCompressedBytes = 1024;

export type StatusServerOptions = {
  readonly port: number;
  readonly checks: readonly ReadinessCheck[];
  readonly probes: ReadonlyMap<string, AppProbe>;
  readonly probeTarget: ProbeTarget;
  readonly metrics: MergeOptions;
  readonly metricsLocalhostOnly: boolean;
  readonly profiling: boolean;
  /** The name table of the DNS proxy; null if there is none. */
  readonly fetchNameTable: () => JsonObject | null;
  readonly onQuit: () => void;
  readonly onDrain: () => void;
};

export class StatusServer {
  readonly #options: StatusServerOptions;
  readonly #app: FastifyInstance = fastify({ exposeHeadRoutes: true, forceCloseConnections: true });
  #wasReady = false;

  constructor(options: StatusServerOptions) {
    this.#options = options;
    const app = this.#app;
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('*', (_request, payload, done) => {
      payload.resume();
      payload.on('end', () => done(null));
    });
    app.addHook('onRequest', (_request, reply, done) => {
      reply.header('vary', 'Accept-Encoding');
      done();
    });
    app.addHook('onSend', compressReply);
    app.all('/healthz/ready', (_request, reply) => this.#answerReadiness(reply));
    for (const path of ['/stats/prometheus', '/metrics']) app.all(path, (request, reply) => this.#answerMetrics(request, reply));
    app.all('/quitquitquit', (request, reply) => this.#answerCommand(request, reply, '/quitquitquit', options.onQuit));
    app.all('/drain', (request, reply) => this.#answerCommand(request, reply, '/drain', options.onDrain));
    for (const path of ['/app-health/*', '/app-lifecycle/*'])
      app.all(path, (request, reply) => this.#answerProbe(request, reply));
    app.all('/debug/ndsz', (request, reply) => this.#answerNameTable(request, reply));
    if (options.profiling) app.all('/debug/pprof/*', (request, reply) => this.#answerProfile(request, reply));
    app.setNotFoundHandler((_request, reply) => answerNotFound(reply));
  }

  /** Resolves to the port once it listens, on every address of both families. Rejects if the port is in use. */
  async listen(): Promise<number> {
    const { port } = this.#options;
    log.info(`Opening status port ${port}`);
    try {
      await this.#app.listen({ port, host: (await hasIpv6()) ? '::' : '0.0.0.0' });
    } catch (error) {
      throw explainSystemError(`listen on status port ${port}`, error);
    }
    return (this.#app.server.address() as { readonly port: number }).port;
  }

  async close(): Promise<void> {
    await this.#app.close();
  }

  async #answerReadiness(reply: FastifyReply): Promise<FastifyReply> {
    for (const check of this.#options.checks) {
      const reason = await check();
      if (reason === null) continue;
      log.warn(`Envoy proxy is NOT ready: ${reason}`);
      this.#wasReady = false;
      // Differs from pilot-agent: the reason is in the answer, for `pilot-agent request`; there it is in the log only.
      return reply.code(503).type('text/plain; charset=utf-8').send(`${reason}\n`);
    }
    if (!this.#wasReady) log.info('Envoy proxy is ready');
    this.#wasReady = true;
    return reply.code(200).send();
  }

  async #answerMetrics(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    if (this.#options.metricsLocalhostOnly && !isLocal(request)) return refuse(reply);
    const query = request.url.split('?').slice(1).join('?');
    const merged = await mergeMetrics(this.#options.metrics, query, request.headers);
    reply.raw.once('close', () => merged.cancel());
    return reply.header('content-type', merged.contentType).send(Readable.from(merged.body, { objectMode: false }));
  }

  /** The answer goes out before the command takes effect. */
  #answerCommand(request: FastifyRequest, reply: FastifyReply, path: string, run: () => void): FastifyReply {
    if (!isLocal(request)) return refuse(reply);
    if (request.method !== 'POST') return answerError(reply, 405, 'Method Not Allowed');
    reply.raw.once('finish', () => {
      log.info(`handling ${path}`);
      run();
    });
    return reply.type('text/plain; charset=utf-8').send('OK');
  }

  async #answerProbe(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const path = request.url.split('?')[0];
    const probe = this.#options.probes.get(path);
    if (probe === undefined) {
      log.error(`Prober does not exists url ${path}`);
      return reply.code(400).type('text/plain; charset=utf-8').send(`app prober config does not exists for ${path}`);
    }
    const incoming = { host: request.headers.host ?? '', headers: request.headers };
    const result = await runAppProbe(probe, this.#options.probeTarget, incoming);
    return reply.code(result.status).type('text/plain; charset=utf-8').send(result.body);
  }

  async #answerProfile(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    if (!isLocal(request)) return refuse(reply);
    const { pathname, searchParams } = new URL(request.url, 'http://localhost');
    const { takeProfile } = await import('./profiling.ts');
    try {
      const profile = await takeProfile(pathname.slice('/debug/pprof/'.length), searchParams);
      if (profile === null) return answerNotFound(reply);
      const { type, fileName, body } = profile;
      if (fileName !== undefined) reply.header('content-disposition', `attachment; filename="${fileName}"`);
      return reply.type(type).send(body);
    } catch (error) {
      return reply
        .code(500)
        .type('text/plain; charset=utf-8')
        .send(`${(error as Error).message}\n`);
    }
  }

  #answerNameTable(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    if (!isLocal(request)) return refuse(reply);
    const table = this.#options.fetchNameTable();
    if (table === null) return reply.code(404).type('text/plain; charset=utf-8').send('{}');
    return reply.header('content-type', 'application/json').send(Buffer.from(JSON.stringify(table)));
  }
}

function answerNotFound(reply: FastifyReply): FastifyReply {
  return answerError(reply, 404, '404 page not found');
}

function refuse(reply: FastifyReply): FastifyReply {
  return answerError(reply, 403, 'Only requests from localhost are allowed');
}

/** With the headers of Go's http.Error. */
function answerError(reply: FastifyReply, code: number, text: string): FastifyReply {
  return reply.code(code).header('x-content-type-options', 'nosniff').type('text/plain; charset=utf-8').send(`${text}\n`);
}

function isLocal(request: FastifyRequest): boolean {
  const address = request.socket.remoteAddress ?? '';
  return address === '::1' || address.replace('::ffff:', '').startsWith('127.');
}

async function compressReply(request: FastifyRequest, reply: FastifyReply, payload: unknown): Promise<unknown> {
  const accepts = /\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''));
  if (accepts && payload instanceof Readable) {
    reply.header('content-encoding', 'gzip');
    return pipeline(payload, createGzip({ level: constants.Z_BEST_SPEED }), () => {});
  }
  const body = typeof payload === 'string' ? Buffer.from(payload) : payload;
  if (!accepts || !Buffer.isBuffer(body) || body.length < minCompressedBytes) return payload;
  reply.header('content-encoding', 'gzip').removeHeader('content-length');
  return promisify(gzip)(body);
}

/** Kernels may be booted without IPv6. */
function hasIpv6(): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(0, '::', () => server.close(() => resolve(true)));
  });
}
