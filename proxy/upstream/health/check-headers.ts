/** Headers of the requests that checks make. */
import type { HeaderValueOption } from '../../config/model/route.ts';
import type { HeaderMap } from '../../http/header-map.ts';

export const userAgent = 'Envoy/HC';

/** Values are literal. */
export function addHeaders(headers: HeaderMap, added: readonly HeaderValueOption[]): void {
  for (const { name, value, action, keepEmpty } of added) {
    if (value === '' && !keepEmpty) continue;
    if (action === 'append') headers.add(name, value);
    else if (action === 'overwrite-or-add') headers.set(name, value);
    else if (headers.has(name) === (action === 'overwrite-if-exists')) headers.set(name, value);
  }
}
