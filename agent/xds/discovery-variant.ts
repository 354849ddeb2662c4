/** The two forms of ADS, delta and state of the world, seen by a relay: where fields are, and how the agent's own requests look. */
import { decodeMessage, encodeMessage } from '../../protos/messages.ts';

export type ErrorDetail = { readonly code: number; readonly message: string };

/** A consumed response: what an agent's own subscription got. Only one resource per type is expected. */
export type ConsumedResponse = {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly version: string;
  readonly firstResource: Uint8Array | null;
};

export type DiscoveryVariant = {
  readonly path: string;
  readonly title: string;
  /** Field numbers of `type_url`. */
  readonly requestTypeField: number;
  readonly responseTypeField: number;
  readonly encodeRequest: (typeUrl: string, error?: ErrorDetail) => Buffer;
  readonly encodeAck: (response: ConsumedResponse, error?: ErrorDetail) => Buffer;
  readonly decodeResponse: (bytes: Buffer) => ConsumedResponse;
};

const servicePath = '/envoy.service.discovery.v3.AggregatedDiscoveryService';

function detailOf(error: ErrorDetail | undefined): { error_detail?: ErrorDetail } {
  return error === undefined ? {} : { error_detail: error };
}

export const deltaVariant: DiscoveryVariant = {
  path: `${servicePath}/DeltaAggregatedResources`,
  title: 'delta ',
  requestTypeField: 2,
  responseTypeField: 4,
  encodeRequest: (typeUrl, error) =>
    encodeMessage('envoy.service.discovery.v3.DeltaDiscoveryRequest', { type_url: typeUrl, ...detailOf(error) }),
  encodeAck: ({ typeUrl, nonce }, error) =>
    encodeMessage('envoy.service.discovery.v3.DeltaDiscoveryRequest', {
      type_url: typeUrl,
      response_nonce: nonce,
      ...detailOf(error),
    }),
  decodeResponse: bytes => {
    const response = decodeMessage('envoy.service.discovery.v3.DeltaDiscoveryResponse', bytes);
    return {
      typeUrl: response.type_url,
      nonce: response.nonce,
      version: response.system_version_info,
      firstResource: response.resources[0]?.resource?.value ?? null,
    };
  },
};

export const sotwVariant: DiscoveryVariant = {
  path: `${servicePath}/StreamAggregatedResources`,
  title: '',
  requestTypeField: 4,
  responseTypeField: 4,
  encodeRequest: (typeUrl, error) =>
    encodeMessage('envoy.service.discovery.v3.DiscoveryRequest', { type_url: typeUrl, ...detailOf(error) }),
  encodeAck: ({ typeUrl, nonce, version }, error) =>
    encodeMessage('envoy.service.discovery.v3.DiscoveryRequest', {
      type_url: typeUrl,
      response_nonce: nonce,
      version_info: version,
      ...detailOf(error),
    }),
  decodeResponse: bytes => {
    const response = decodeMessage('envoy.service.discovery.v3.DiscoveryResponse', bytes);
    return {
      typeUrl: response.type_url,
      nonce: response.nonce,
      version: response.version_info,
      firstResource: response.resources[0]?.value ?? null,
    };
  },
};
