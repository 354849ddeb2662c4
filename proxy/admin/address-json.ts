/** `envoy.config.core.v3.Address` as ProtoJSON. */
import type { Address } from '../config/model/address.ts';

export function addressToJson(address: Address): object {
  if (address.kind === 'pipe') return { pipe: { path: address.path } };
  if (address.kind === 'internal') {
    const { listener, endpointId } = address;
    return { envoy_internal_address: { server_listener_name: listener, ...(endpointId !== '' && { endpoint_id: endpointId }) } };
  }
  return { socket_address: { address: address.address, port_value: address.port } };
}
