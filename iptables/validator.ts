/**
 * Does capture work in this pod? A connection to 127.0.0.6:15002, where nobody listens, must arrive at the outbound or inbound
 * capture port. Needs no privilege. The capture is recognized by the client's own port, which redirection does not change, so no
 * socket option is needed to read the original destination.
 */
import { connect, createServer, isIPv6, type Server } from 'node:net';
import type { Config } from './config.ts';
import { log } from './log.ts';

const retryDelayMs = 1000;

/** Resolves when a probe came through; rejects with an Error after config.probeTimeoutMs, or if no port can be listened on. */
export async function validateCapture(config: Config): Promise<void> {
  log.info('Starting iptables validation. This check verifies that iptables rules are properly established for the network.');
  const v6 = isIPv6(config.hostIp);
  const [listenAddress, probeAddress] = v6 ? ['::1', '::6'] : ['127.0.0.1', '127.0.0.6'];
  const probes = new Set<number>();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const deadline = setTimeout(() => reject(new Error('validation timeout')), config.probeTimeoutMs);
  const servers: Server[] = [];
  let timer: NodeJS.Timeout | undefined;
  const probe = (): void => {
    const socket = connect({ host: probeAddress, port: config.iptablesProbePort, localAddress: listenAddress });
    socket.on('connect', () => {
      probes.add(socket.localPort as number);
      socket.on('data', () => resolve()).on('end', () => socket.destroy());
    });
    socket.on('error', error => log.error(`Error connecting to ${probeAddress}: ${error.message}`));
    timer = setTimeout(probe, retryDelayMs);
  };
  try {
    for (const port of [config.proxyPort, config.inboundCapturePort]) {
      const server = await listen(listenAddress, Number(port), probes);
      if (server) servers.push(server);
    }
    if (servers.length === 0) throw new Error(`no listener available: ${config.proxyPort},${config.inboundCapturePort}`);
    probe();
    await promise;
    log.info('Validation passed, iptables rules established');
  } finally {
    clearTimeout(deadline);
    clearTimeout(timer);
    for (const server of servers) server.close();
  }
}

/** Listens, and answers a probe with its port; others are closed without an answer. Null if the port cannot be had. */
function listen(host: string, port: number, probes: ReadonlySet<number>): Promise<Server | null> {
  log.info(`Listening on ${host}:${port}`);
  return new Promise(resolve => {
    const server = createServer(socket => {
      socket.on('error', () => socket.destroy());
      // The connecting side may learn of its port a turn later than this side.
      setImmediate(() => (probes.has(socket.remotePort as number) ? socket.end(String(port)) : socket.destroy()));
    });
    server.on('error', error => {
      log.error(`Error on listening: ${error.message}`);
      resolve(null);
    });
    server.listen({ host, port, reusePort: true }, () => resolve(server));
  });
}
