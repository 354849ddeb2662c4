/**
 * A route configuration as text of which a worker reads what requests ask for: first the names of all virtual hosts, which may be
 * thousands, then each virtual host by itself.
 */
import { parseText, type SharedText } from '../../common/shared-text.ts';
import type { RouteConfigModel, VirtualHostModel } from '../config/model/route.ts';

/** What all virtual hosts have in common. */
export type RouteTableModel = Omit<RouteConfigModel, 'virtualHosts'>;

/** A virtual host that is read when the first request comes to it. */
export interface VirtualHostSource {
  readonly domains: readonly string[];
  readonly read: () => VirtualHostModel;
}

/** The first line; the virtual hosts follow, without anything between them. */
interface Head {
  readonly config: RouteTableModel;
  readonly virtualHosts: readonly { readonly domains: readonly string[]; readonly lengthBytes: number }[];
}

export function writeRouteConfig({ virtualHosts, ...config }: RouteConfigModel): string {
  const texts = virtualHosts.map(virtualHost => JSON.stringify(virtualHost));
  const described = virtualHosts.map(({ domains }, i) => ({ domains, lengthBytes: Buffer.byteLength(texts[i]) }));
  const head: Head = { config, virtualHosts: described };
  return `${JSON.stringify(head)}\n${texts.join('')}`;
}

export function readRouteConfig(text: SharedText): {
  readonly config: RouteTableModel;
  readonly virtualHosts: readonly VirtualHostSource[];
} {
  const headEnd = text.indexOf('\n'.charCodeAt(0));
  const { config, virtualHosts } = parseText<Head>(text.subarray(0, headEnd));
  let offset = headEnd + 1;
  const sources = virtualHosts.map(({ domains, lengthBytes }) => {
    const own = text.subarray(offset, offset + lengthBytes);
    offset += lengthBytes;
    return { domains, read: () => parseText<VirtualHostModel>(own) };
  });
  return { config, virtualHosts: sources };
}
