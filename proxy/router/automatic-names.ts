/** `auto_sni` and `auto_san_validation`: names for the upstream's TLS from the request's authority. */
import { isIP } from 'node:net';
import type { ClusterModel } from '../config/model/cluster.ts';
import type { HeaderMap } from '../http/header-map.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import { upstreamServerNameKey, upstreamSubjectAltNamesKey } from '../upstream/stream-options.ts';
import { findPortStart } from './rewrite.ts';

/** Leaves the names in the filter state unless a filter has set them. An IP is never a server name. */
export function setAutomaticNames(info: StreamInfo, headers: HeaderMap, { protocol }: ClusterModel): void {
  if (!protocol.autoSni && !protocol.autoSanValidation) return;
  const portStart = findPortStart(headers.authority);
  const host = portStart === -1 ? headers.authority : headers.authority.slice(0, portStart);
  const name = host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
  if (protocol.autoSni && isIP(name) === 0 && info.getFilterState(upstreamServerNameKey) === undefined) {
    info.setFilterState(upstreamServerNameKey, name);
  }
  if (protocol.autoSanValidation && info.getFilterState(upstreamSubjectAltNamesKey) === undefined) {
    info.setFilterState(upstreamSubjectAltNamesKey, [name]);
  }
}
