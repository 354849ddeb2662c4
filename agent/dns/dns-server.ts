/**
 * The DNS proxy: answers names of the mesh from istiod's table, and forwards the rest.
 *
 * Source: istio.io/istio pkg/dns/client.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { createServer, isIP, type Server, type Socket } from 'node:net';
import { decodeMessage } from '../../protos/messages.ts';
import type { JsonObject } from '../config/proto-json.ts';
import { splitHostPort } from '../config/proxy-config-validation.ts';
import { explainSystemError } from '../failure-text.ts';
import { AgentLogger } from '../log.ts';
import { agentMetrics } from '../metrics.ts';
import { responseCodes, writeAnswer } from './dns-message.ts';
import { fitAnswer, readQuery } from './dns-query.ts';
import { listNames, NameTable, type NameInfo, type NameTableScope } from './name-table.ts';
import { frameMessage, UpstreamResolver } from './upstream-resolver.ts';

const log = new AgentLogger('dns');

const maxTcpBytes = 65_535;
const tcpIdleMs = 10_000;

export type DnsServerOptions = {
  /** `host:port`; `localhost` stands for the loopback addresses of the nameservers' families. */
  readonly address: string;
  readonly namespace: string;
  /** The pod's domain, `<namespace>.svc.cluster.local`. */
  readonly domain: string;
  readonly resolvConf: string;
  /** Answers come from elsewhere until istiod's table is there: for machines whose only resolver this is. Default false. */
  readonly forwardsBeforeTable?: boolean;
  readonly parallel: boolean;
  readonly timeoutMs: number;
};

/** Nameservers and search domains of a resolv.conf. */
export function parseResolvConf(text: string): { readonly servers: readonly string[]; readonly search: readonly string[] } {
  const lines = text.split('\n').map(line => line.trim().split(/\s+/));
  const servers = lines.filter(([key]) => key === 'nameserver').map(([, server = '']) => server.split('%')[0]);
  return {
    servers: servers.filter(server => isIP(server) !== 0),
    search: lines.findLast(([key]) => key === 'search')?.slice(1) ?? [],
  };
}

export class DnsServer {
  readonly #scope: NameTableScope;
  readonly #resolver: UpstreamResolver;
  readonly #hosts: readonly string[];
  readonly #port: number;
  readonly #forwardsBeforeTable: boolean;
  readonly #udp: UdpSocket[] = [];
  readonly #tcp: Server[] = [];
  #table: NameTable | null = null;
  /** Encoded, for the few who want to see it. */
  #encoded: Buffer | null = null;

  /** @throws if the address has no port or resolv.conf cannot be read. */
  constructor(options: DnsServerOptions) {
    this.#forwardsBeforeTable = options.forwardsBeforeTable ?? false;
    const { servers, search } = parseResolvConf(readFileSync(options.resolvConf, 'utf8'));
    const parts = options.domain.split('.');
    const domain = (parts[0] === options.namespace ? parts.slice(1) : parts).join('.');
    this.#scope = { namespace: options.namespace, domain, searchDomain: (search[0] ?? '').replace(/\.$/, '') };
    this.#resolver = new UpstreamResolver(servers, options.timeoutMs, options.parallel);
    const address = splitHostPort(options.address);
    if (address === null) throw new Error(`dns address must be a valid host:port: ${options.address}`);
    this.#port = Number(address.port);
    this.#hosts = address.host === 'localhost' ? chooseLoopbacks(servers) : [address.host === '' ? '0.0.0.0' : address.host];
  }

  /** Resolves once every socket is bound. Rejects if a port is in use. */
  async listen(): Promise<void> {
    try {
      await Promise.all(this.#hosts.flatMap(host => [this.#listenUdp(host), this.#listenTcp(host)]));
    } catch (error) {
      throw explainSystemError(`start the DNS server on port ${this.#port}`, error);
    }
    log.info(`Starting local DNS server at ${this.#hosts.map(host => `${host}:${this.#port}`).join(', ')}`);
  }

  /** True once istiod's table is there. */
  get ready(): boolean {
    return this.#table !== null;
  }

  /** Takes over an encoded NameTable. @throws if it cannot be decoded. */
  update(bytes: Uint8Array): void {
    const table = readTable(bytes);
    this.#table = new NameTable(table, this.#scope);
    this.#encoded = Buffer.from(bytes);
    log.debug(`updated lookup table with ${Object.keys(table).length} hosts`);
  }

  /** The table as JSON for `/debug/ndsz`; null before the first. */
  describe(): JsonObject | null {
    if (this.#encoded === null) return null;
    return { table: describeTable(readTable(this.#encoded), this.#scope) };
  }

  close(): void {
    for (const socket of this.#udp) socket.close();
    for (const server of this.#tcp) server.close();
  }

  async #answer(query: Buffer, overTcp: boolean): Promise<Buffer | null> {
    const question = readQuery(query);
    if (question === null) return null;
    if ('refusal' in question) return question.refusal;
    agentMetrics.dnsRequests.increment();
    const limit = overTcp ? maxTcpBytes : question.udpBytes;
    // Before the first table an answer from elsewhere could be wrong for the whole of its life.
    if (this.#table === null && !this.#forwardsBeforeTable) return writeAnswer(question, [], responseCodes.serverFailure, limit);
    const records = this.#table?.lookUp(question.name, question.type);
    if (records != null) return writeAnswer(question, records, responseCodes.noError, limit);
    try {
      return fitAnswer(await this.#resolver.resolve(query, overTcp), limit);
    } catch {
      return writeAnswer(question, [], responseCodes.serverFailure, limit);
    }
  }

  #listenUdp(host: string): Promise<void> {
    const socket = createSocket(isIP(host) === 6 ? 'udp6' : 'udp4');
    this.#udp.push(socket);
    socket.on('message', (query, peer) => {
      void this.#answer(query, false).then(answer => {
        if (answer !== null) socket.send(answer, peer.port, peer.address, () => {});
      });
    });
    return new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.bind(this.#port, host, () => {
        socket.removeAllListeners('error').on('error', error => log.error(`UDP: ${error.message}`));
        resolve();
      });
    });
  }

  #listenTcp(host: string): Promise<void> {
    const server = createServer(socket => this.#serve(socket));
    this.#tcp.push(server);
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, host, () => resolve());
    });
  }

  #serve(socket: Socket): void {
    let received = Buffer.alloc(0);
    socket.setTimeout(tcpIdleMs, () => socket.destroy());
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
        const end = 2 + received.readUInt16BE(0);
        const query = received.subarray(2, end);
        received = received.subarray(end);
        void this.#answer(query, true).then(answer => {
          if (answer !== null && !socket.destroyed) socket.write(frameMessage(answer));
        });
      }
    });
  }
}

function readTable(bytes: Uint8Array): Readonly<Record<string, NameInfo>> {
  return decodeMessage('istio.networking.nds.v1.NameTable', bytes).table as unknown as Readonly<Record<string, NameInfo>>;
}

/** As istiod sent it, with the short names that come of it. */
function describeTable(table: Readonly<Record<string, NameInfo>>, scope: NameTableScope): JsonObject {
  const described = new Map(Object.entries(table).map(([host, info]) => [host, describeName(info)]));
  for (const [host, info] of Object.entries(table)) {
    const ips = [4, 6].flatMap(family => info.ips.filter(address => isIP(address) === family));
    if (ips.length === 0) continue;
    for (const name of listNames(host, info, scope)) {
      if (!described.has(name)) described.set(name, { ips, registry: 'Kubernetes' });
    }
  }
  return Object.fromEntries([...described].toSorted(([one], [other]) => (one < other ? -1 : 1)));
}

/** As ProtoJSON, which leaves out what is empty. */
function describeName({ alt_hosts: altHosts, ...info }: NameInfo): JsonObject {
  return Object.fromEntries(Object.entries({ ...info, altHosts }).filter(([, value]) => value.length > 0));
}

function chooseLoopbacks(servers: readonly string[]): readonly string[] {
  const families = new Set(servers.map(server => isIP(server)));
  const hosts = [...(families.has(4) ? ['127.0.0.1'] : []), ...(families.has(6) ? ['::1'] : [])];
  return hosts.length === 0 ? ['127.0.0.1'] : hosts;
}
