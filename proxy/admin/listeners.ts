/** `/listeners`: names and bound addresses. */
import { stringifyJson } from '../../protos/json-writer.ts';
import { formatAddress } from '../config/model/address.ts';
import { addressToJson } from './address-json.ts';
import type { AdminContext } from './admin-context.ts';
import type { AdminRequest, AdminResponse } from './endpoint.ts';
import { jsonResponse, textResponse } from './endpoint.ts';

export function handleListeners({ query }: AdminRequest, context: AdminContext): AdminResponse {
  const listeners = [...context.listeners.list()];
  if (query.get('format') !== 'json') {
    const lines = listeners.flatMap(({ name, boundAddresses }) => {
      return boundAddresses.map(address => `${name}::${formatAddress(address)}\n`);
    });
    return textResponse(lines.join(''));
  }
  const statuses = listeners.map(({ name, boundAddresses: [main, ...additional] }) => ({
    name,
    local_address: addressToJson(main),
    ...(additional.length > 0 && { additional_local_addresses: additional.map(addressToJson) }),
  }));
  return jsonResponse(`${stringifyJson(statuses.length > 0 ? { listener_statuses: statuses } : {})}\n`);
}
