/**
 * The gRPC methods of the discovery services, written by hand: no .proto is loaded at run time. Requests and responses are plain
 * messages with .proto field names.
 *
 * Source: envoy/service/discovery/v3/ads.proto, envoy/service/secret/v3/sds.proto and the other discovery services.
 */
import type { MethodDefinition } from '@grpc/grpc-js';
import { decodeMessage, encodeMessage, type MessageTypes, type Partially } from '../../protos/messages.ts';

const deltaRequest = 'envoy.service.discovery.v3.DeltaDiscoveryRequest';
const deltaResponse = 'envoy.service.discovery.v3.DeltaDiscoveryResponse';
const sotwRequest = 'envoy.service.discovery.v3.DiscoveryRequest';
const sotwResponse = 'envoy.service.discovery.v3.DiscoveryResponse';

export type DeltaRequest = Partially<MessageTypes[typeof deltaRequest]>;
export type DeltaResponse = Partially<MessageTypes[typeof deltaResponse]>;
export type SotwRequest = Partially<MessageTypes[typeof sotwRequest]>;
export type SotwResponse = Partially<MessageTypes[typeof sotwResponse]>;
export type ReceivedDeltaResponse = MessageTypes[typeof deltaResponse];
export type ReceivedSotwResponse = MessageTypes[typeof sotwResponse];

/** A bidirectional delta method, for a client and for a server. */
export function defineDeltaMethod(path: string): MethodDefinition<DeltaRequest, DeltaResponse> {
  return {
    path,
    requestStream: true,
    responseStream: true,
    requestSerialize: request => encodeMessage(deltaRequest, request),
    requestDeserialize: bytes => decodeMessage(deltaRequest, bytes),
    responseSerialize: response => encodeMessage(deltaResponse, response),
    responseDeserialize: bytes => decodeMessage(deltaResponse, bytes),
  };
}

/** A bidirectional state-of-the-world method, for a client and for a server. */
export function defineSotwMethod(path: string): MethodDefinition<SotwRequest, SotwResponse> {
  return {
    path,
    requestStream: true,
    responseStream: true,
    requestSerialize: request => encodeMessage(sotwRequest, request),
    requestDeserialize: bytes => decodeMessage(sotwRequest, bytes),
    responseSerialize: response => encodeMessage(sotwResponse, response),
    responseDeserialize: bytes => decodeMessage(sotwResponse, bytes),
  };
}

/** Where each discovery service has its two streaming methods. */
export interface DiscoveryService {
  readonly delta: string;
  readonly sotw: string;
}

function defineService(name: string, deltaMethod: string, sotwMethod: string): DiscoveryService {
  return { delta: `/envoy.service.${name}/${deltaMethod}`, sotw: `/envoy.service.${name}/${sotwMethod}` };
}

export const discoveryServices = {
  aggregated: defineService('discovery.v3.AggregatedDiscoveryService', 'DeltaAggregatedResources', 'StreamAggregatedResources'),
  cluster: defineService('cluster.v3.ClusterDiscoveryService', 'DeltaClusters', 'StreamClusters'),
  endpoints: defineService('endpoint.v3.EndpointDiscoveryService', 'DeltaEndpoints', 'StreamEndpoints'),
  listener: defineService('listener.v3.ListenerDiscoveryService', 'DeltaListeners', 'StreamListeners'),
  route: defineService('route.v3.RouteDiscoveryService', 'DeltaRoutes', 'StreamRoutes'),
  extension: defineService('extension.v3.ExtensionConfigDiscoveryService', 'DeltaExtensionConfigs', 'StreamExtensionConfigs'),
  secret: defineService('secret.v3.SecretDiscoveryService', 'DeltaSecrets', 'StreamSecrets'),
} as const;
