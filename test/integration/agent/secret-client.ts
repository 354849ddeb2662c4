/** A client of the agent's secret discovery, in the place of the proxy. */
import { join } from 'node:path';
import { Client, type ClientDuplexStream, credentials, Metadata } from '@grpc/grpc-js';
import { decodeMessage, encodeMessage } from '../../../protos/messages.ts';
import type { AgentProcess } from './agent-process.ts';

type Tap = { teardown(handler: () => void): void };

const workloadSocket = 'var/run/secrets/workload-spiffe-uds/socket';

/** Reads one secret, and each new version, as PEM of its certificates. */
export function watchSecret(
  t: Tap,
  agent: AgentProcess,
  name: string,
  socketPath = workloadSocket,
): { readonly versions: readonly string[] } {
  const socket = join(agent.folder, socketPath);
  const client = new Client(`unix:${socket}`, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
  const passBytes = (bytes: Buffer): Buffer => bytes;
  const path = '/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets';
  const stream: ClientDuplexStream<Buffer, Buffer> = client.makeBidiStreamRequest(path, passBytes, passBytes, new Metadata());
  t.teardown(() => {
    stream.cancel();
    client.close();
  });
  const versions: string[] = [];
  const ask = (nonce: string): void => {
    const request = { type_url: 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret', resource_names: [name] };
    stream.write(encodeMessage('envoy.service.discovery.v3.DiscoveryRequest', { ...request, response_nonce: nonce }));
  };
  stream.on('error', () => {});
  stream.on('data', (bytes: Buffer) => {
    const { nonce, resources } = decodeMessage('envoy.service.discovery.v3.DiscoveryResponse', bytes);
    const secret = decodeMessage('envoy.extensions.transport_sockets.tls.v3.Secret', resources[0].value);
    const source = secret.tls_certificate?.certificate_chain ?? secret.validation_context?.trusted_ca;
    versions.push(Buffer.from(source?.inline_bytes ?? '').toString());
    ask(nonce);
  });
  ask('');
  return { versions };
}
