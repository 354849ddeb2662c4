/**
 * An embedded control plane: delta ADS with fixed resources per node, and a certificate authority, on one TLS port, as istiod
 * offers them to an agent.
 */
import * as grpc from '@grpc/grpc-js';
import { readJsonMessage } from '../protos/json-reader.ts';
import { decodeMessage, encodeMessage, findType, type MessageTypes, typeUrlPrefix } from '../protos/messages.ts';
import type { CertificateAuthority } from './certificate-authority.ts';
import type { Resources } from './resources/pieces.ts';

type DeltaRequest = MessageTypes['envoy.service.discovery.v3.DeltaDiscoveryRequest'];

export interface ControlPlaneOptions {
  readonly authority: CertificateAuthority;
  /** What a node gets, by its id (`sidecar~ip~pod.namespace~domain`). */
  readonly resourcesFor: (nodeId: string) => Resources;
  /** How long workload certificates live. */
  readonly certificateTtlMs: number;
  /** A node rejected a resource; the demo's resources are its own, so this is a bug. */
  readonly onReject: (nodeId: string, message: string) => void;
}

const kinds = {
  'envoy.config.cluster.v3.Cluster': { key: 'clusters', nameField: 'name', wildcard: true },
  'envoy.config.endpoint.v3.ClusterLoadAssignment': { key: 'endpoints', nameField: 'cluster_name', wildcard: false },
  'envoy.config.listener.v3.Listener': { key: 'listeners', nameField: 'name', wildcard: true },
  'envoy.config.route.v3.RouteConfiguration': { key: 'routes', nameField: 'name', wildcard: false },
} as const;

type Kind = keyof typeof kinds;

interface NamedResource {
  readonly name: string;
  readonly resource: { readonly type_url: string; readonly value: Buffer };
}

function encodeResources(kind: Kind, resources: Resources): NamedResource[] {
  const { key, nameField } = kinds[kind];
  return resources[key].map(json => {
    const message = readJsonMessage(kind, json, { onUnknownField: null });
    const value = Buffer.from((findType(kind) as NonNullable<ReturnType<typeof findType>>).encode(message).finish());
    return { name: json[nameField] as string, resource: { type_url: `${typeUrlPrefix}${kind}`, value } };
  });
}

/** Answers one agent's stream: every type once in full, and named types again when more names are asked for. */
function serveStream(stream: grpc.ServerDuplexStream<DeltaRequest, Buffer>, options: ControlPlaneOptions): void {
  let nodeId = '';
  let nonce = 0;
  const sentWildcard = new Set<string>();
  stream.on('data', (request: DeltaRequest) => {
    if (request.node !== null) nodeId = request.node.id;
    if (request.error_detail !== null) options.onReject(nodeId, request.error_detail.message);
    const kind = request.type_url.slice(typeUrlPrefix.length) as Kind;
    if (!(kind in kinds)) return;
    const all = encodeResources(kind, options.resourcesFor(nodeId));
    const isFirstWildcard = kinds[kind].wildcard && !sentWildcard.has(kind);
    const names = new Set(request.resource_names_subscribe);
    if (!isFirstWildcard && names.size === 0) return;
    sentWildcard.add(kind);
    nonce++;
    stream.write(
      encodeMessage('envoy.service.discovery.v3.DeltaDiscoveryResponse', {
        type_url: request.type_url,
        nonce: String(nonce),
        system_version_info: 'demo-1',
        resources: kinds[kind].wildcard ? all : all.filter(({ name }) => names.has(name)),
      }),
    );
  });
  stream.on('end', () => stream.end());
  stream.on('error', () => {});
}

type CertificateRequest = MessageTypes['istio.v1.auth.IstioCertificateRequest'];

async function signRequest(
  call: grpc.ServerUnaryCall<CertificateRequest, Buffer>,
  callback: grpc.sendUnaryData<Buffer>,
  { authority, certificateTtlMs }: ControlPlaneOptions,
): Promise<void> {
  try {
    const chain = await authority.sign(call.request.csr, certificateTtlMs);
    callback(null, encodeMessage('istio.v1.auth.IstioCertificateResponse', { cert_chain: chain }));
  } catch (error) {
    callback({ code: grpc.status.INVALID_ARGUMENT, details: (error as Error).message });
  }
}

const identity = (bytes: Buffer) => bytes;

/** Starts on a free port of an address. */
export async function startControlPlane(address: string, options: ControlPlaneOptions): Promise<{ port: number; stop(): void }> {
  const server = new grpc.Server();
  server.addService(
    {
      deltaAggregatedResources: {
        path: '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources',
        requestStream: true,
        responseStream: true,
        requestDeserialize: bytes => decodeMessage('envoy.service.discovery.v3.DeltaDiscoveryRequest', bytes),
        requestSerialize: identity,
        responseDeserialize: identity,
        responseSerialize: identity,
      },
    },
    { deltaAggregatedResources: (stream: grpc.ServerDuplexStream<DeltaRequest, Buffer>) => serveStream(stream, options) },
  );
  server.addService(
    {
      createCertificate: {
        path: '/istio.v1.auth.IstioCertificateService/CreateCertificate',
        requestStream: false,
        responseStream: false,
        requestDeserialize: bytes => decodeMessage('istio.v1.auth.IstioCertificateRequest', bytes),
        requestSerialize: identity,
        responseDeserialize: identity,
        responseSerialize: identity,
      },
    },
    {
      createCertificate: ((call, callback) => void signRequest(call, callback, options)) as grpc.handleUnaryCall<
        CertificateRequest,
        Buffer
      >,
    },
  );
  const own = await options.authority.issue([
    { type: 'dns', value: 'istiod.istio-system.svc' },
    { type: 'ip', value: address },
  ]);
  const keyPair = { private_key: Buffer.from(own.privateKey), cert_chain: Buffer.from(own.certificate) };
  const credentials = grpc.ServerCredentials.createSsl(null, [keyPair]);
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync(`${address}:0`, credentials, (error, bound) => (error === null ? resolve(bound) : reject(error))),
  );
  return { port, stop: () => server.forceShutdown() };
}
