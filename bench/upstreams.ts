/**
 * What answers behind the proxies: nginx for HTTP/1.1 and TCP, fortio's ping service for gRPC, each plain and with TLS; the echo of
 * a WebSocket library.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findFreePort } from '../test/support/proxy-process.ts';
import type { Certificates, UpstreamPorts } from './bootstraps.ts';
import { findTool, loadCore, waitForPort } from './environment.ts';

export interface Upstreams {
  readonly ports: UpstreamPorts;
  stop(): void;
}

/** Both ask for the client's certificate. `bodySizes` are the paths that nginx serves. */
export async function startUpstreams(
  folder: string,
  certificates: Certificates,
  bodySizes: readonly number[],
): Promise<Upstreams> {
  const ports: UpstreamPorts = {
    plain: await findFreePort(),
    tls: await findFreePort(),
    grpcPlain: await findFreePort(),
    grpcTls: await findFreePort(),
    webSocket: await findFreePort(),
  };
  const children = [
    startNginx(folder, ports, certificates, bodySizes),
    startFortio(ports.grpcPlain, []),
    startFortio(ports.grpcTls, [
      ...['-cert', certificates.certificate, '-key', certificates.key],
      ...['-cacert', certificates.ca, '-mtls'],
    ]),
    startOnLoadCore([findTool('websocket-echo'), '-addr', `127.0.0.1:${ports.webSocket}`]),
  ];
  for (const port of Object.values(ports)) await waitForPort(port);
  return {
    ports,
    stop: () => {
      for (const child of children) child.kill();
    },
  };
}

function startOnLoadCore(command: readonly string[]): ChildProcess {
  return spawn('taskset', ['-c', String(loadCore), ...command], { stdio: 'ignore' });
}

const answer = 'x'.repeat(64);

/**
 * Answers 64 bytes, or as many as the path says; on `/upload` when it has read what is posted: an answer before the end of the
 * request would cost its connection.
 */
function startNginx(
  folder: string,
  ports: UpstreamPorts,
  certificates: Certificates,
  bodySizes: readonly number[],
): ChildProcess {
  const config = join(folder, 'nginx.conf');
  const files = join(folder, 'files');
  const socket = join(folder, 'nginx.sock');
  mkdirSync(files);
  for (const bytes of bodySizes) writeFileSync(join(files, String(bytes)), Buffer.alloc(bytes, 'x'));
  writeFileSync(
    config,
    `daemon off; worker_processes 1; user root; pid ${join(folder, 'nginx.pid')}; error_log /dev/null crit;
events { worker_connections 16384; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 600s;
  client_max_body_size 0; client_body_buffer_size 2m; client_body_temp_path ${join(folder, 'bodies')}; open_file_cache max=100;
  server {
    listen 127.0.0.1:${ports.plain} backlog=4096;
    listen 127.0.0.2:${ports.plain} backlog=4096;
    listen 127.0.0.1:${ports.tls} ssl backlog=4096;
    ssl_certificate ${certificates.certificate}; ssl_certificate_key ${certificates.key};
    ssl_client_certificate ${certificates.ca}; ssl_verify_client optional;
    location = / { return 200 "${answer}"; }
    location = /upload { proxy_pass http://unix:${socket}; }
    location / { root ${files}; }
  }
  server { listen unix:${socket}; location / { return 200 "${answer}"; } }
}
`,
  );
  return startOnLoadCore(['nginx', '-c', config, '-p', folder]);
}

function startFortio(port: number, tls: readonly string[]): ChildProcess {
  const others = ['http', 'redirect', 'tcp', 'udp'].flatMap(name => [`-${name}-port`, 'disabled']);
  const args = ['-grpc-port', `127.0.0.1:${port}`, ...others, '-loglevel', 'Error', ...tls];
  return startOnLoadCore([findTool('fortio'), 'server', ...args]);
}
