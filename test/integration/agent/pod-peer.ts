/**
 * What a pod meets in the test of address families, in its namespace: an istiod with one name on `[::1]` and an application on every
 * address, which answers with the address of its client. `<istiod's port> <application's port>`; prints a line when both listen.
 */
import { createServer } from 'node:http';
import { encodeMessage } from '../../../protos/messages.ts';
import { meshAuthority } from './agent-process.ts';
import { Istiod } from './istiod.ts';

const [istiodPort, applicationPort] = process.argv.slice(2).map(Number);
// The parent's end is the end of this process, however it ends.
process.stdin.on('end', () => process.exit()).resume();
const istiod = new Istiod({ authority: meshAuthority, port: istiodPort, host: '[::]' });
const web = { ips: ['10.0.0.1', 'fd00::1'], registry: 'Kubernetes', shortname: 'web', namespace: 'n' };
const table = encodeMessage('istio.networking.nds.v1.NameTable', { table: { 'web.n.svc.cluster.local': web } } as never);
istiod.resources.set('type.googleapis.com/istio.networking.nds.v1.NameTable', table);
await istiod.listen();
const application = createServer((request, response) => response.end(request.socket.remoteAddress));
await new Promise<void>(resolve => application.listen(applicationPort, '::', resolve));
console.log(meshAuthority.rootCertificate.replaceAll('\n', '|'));
