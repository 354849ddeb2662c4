/**
 * A process of the DNS test, in its namespace: `server <user id>` is the agent's DNS server with a table of the mesh, `upstream
 * <address>` the cluster's, which knows `outside.org`. Both print a line when they listen.
 */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { encodeName, recordTypes, responseCodes, writeAnswer } from '../../../agent/dns/dns-message.ts';
import { readQuery } from '../../../agent/dns/dns-query.ts';
import { DnsServer } from '../../../agent/dns/dns-server.ts';
import { frameMessage } from '../../../agent/dns/upstream-resolver.ts';
import { encodeMessage } from '../../../protos/messages.ts';

const [role, argument] = process.argv.slice(2);
// The parent's end is the end of this process, however it ends.
process.stdin.on('end', () => process.exit()).resume();
if (role === 'server') await serveMesh(Number(argument));
else await serveOutside(argument);
console.log('listening');

async function serveMesh(userId: number): Promise<void> {
  const options = {
    namespace: 'n',
    domain: 'n.svc.cluster.local',
    resolvConf: '/etc/resolv.conf',
    parallel: false,
    timeoutMs: 500,
  };
  const server = new DnsServer({ ...options, address: 'localhost:15053' });
  process.setgid?.(userId);
  process.setuid?.(userId);
  await server.listen();
  const service = (shortname: string, namespace: string, ips: readonly string[]): object => {
    return { ips, registry: 'Kubernetes', shortname, namespace };
  };
  const table = {
    'web.n.svc.cluster.local': service('web', 'n', ['10.0.0.1', 'fd00::1']),
    'web.other.svc.cluster.local': service('web', 'other', ['10.0.0.2']),
    'headless.n.svc.cluster.local': service(
      'headless',
      'n',
      Array.from({ length: 60 }, (_, i) => `10.1.0.${i + 1}`),
    ),
    'external.com': { ips: ['240.240.0.1'], registry: 'External' },
    '*.wild.com': { ips: ['240.240.0.2'], registry: 'External' },
  };
  server.update(encodeMessage('istio.networking.nds.v1.NameTable', { table } as never));
}

async function serveOutside(address: string): Promise<void> {
  const udp = createSocket('udp4');
  udp.on('message', (query, peer) => udp.send(answerOutside(query), peer.port, peer.address));
  const tcp = createServer(socket => {
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: Buffer) => socket.write(frameMessage(answerOutside(chunk.subarray(2)))));
  });
  await new Promise<void>(resolve => udp.bind(53, address, resolve));
  await new Promise<void>(resolve => tcp.listen(53, address, resolve));
}

function answerOutside(query: Buffer): Buffer {
  const question = readQuery(query);
  if (question === null || 'refusal' in question) throw new Error('a forwarded query is broken');
  const nameError = 3;
  if (question.name !== 'outside.org.') return writeAnswer(question, [], nameError, 512);
  const record = { name: question.name, ttlSeconds: 60 };
  const address = { ...record, type: recordTypes.a, data: Buffer.from([9, 9, 9, 9]) };
  const alias = { ...record, type: recordTypes.cname, data: encodeName('other.org.') };
  const records = question.type === recordTypes.a ? [address] : question.type === recordTypes.cname ? [alias] : [];
  return writeAnswer(question, records, responseCodes.noError, 512);
}
