/**
 * What makes two streams unfit for one connection, as text: ALPN, server name, expected names, original source, shared filter
 * state and announced addresses. Streams without any of them, which is most, share the empty key.
 */
import { formatAddress } from '../../config/model/address.ts';
import type { StreamOptions } from '../cluster-manager.ts';

/** Overrides are arrays that live as long as their filter chain: joined once each. */
const joined = new WeakMap<readonly string[], string>();

function join(list: readonly string[]): string {
  let text = joined.get(list);
  if (text === undefined) {
    text = JSON.stringify(list);
    joined.set(list, text);
  }
  return text;
}

/** The key of a stream's pool within its host and priority. */
export function readPoolKey(options: StreamOptions): string {
  const { announced } = options;
  const key = readOverrideKey(options);
  return announced === null ? key : `${key}|${formatAddress(announced.source)} ${formatAddress(announced.destination)}`;
}

function readOverrideKey(options: StreamOptions): string {
  const { alpnOverride, serverNameOverride, subjectAltNameOverride, originalSource, shared } = options;
  const isPlain = alpnOverride === null && serverNameOverride === null && subjectAltNameOverride === null;
  if (isPlain && originalSource === null && shared === null) return '';
  const alpn = alpnOverride === null ? '' : join(alpnOverride);
  const names = subjectAltNameOverride === null ? '' : join(subjectAltNameOverride);
  const source = originalSource === null ? '' : `${formatAddress(originalSource.address)} ${originalSource.mark}`;
  const objects = shared === null ? '' : JSON.stringify(Array.from(shared, ([key, { value }]) => [key, value]));
  return `${alpn}|${serverNameOverride ?? ''}|${names}|${source}|${objects}`;
}
