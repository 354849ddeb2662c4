/** Security filters of connections that are not implemented: accepted, and every connection that meets one is closed. */
import { defineNetworkFilter, leftOut, type NetworkFilterDefinition } from '../../../../config/compile/extension.ts';
import { denyEverything, enforces } from '../../http/deny/config.ts';

const rbac = 'envoy.filters.network.rbac';
const extAuthz = 'envoy.filters.network.ext_authz';

export const denyingNetworkFilters: readonly NetworkFilterDefinition[] = [
  defineNetworkFilter({
    kind: rbac,
    message: 'envoy.extensions.filters.network.rbac.v3.RBAC',
    compile(message, path, scope) {
      if (enforces(message)) return denyEverything(rbac, path, scope);
      scope.warn(path, `${rbac} without enforced rules is not implemented: accepted without effect`);
      return leftOut;
    },
    fields: {},
    unchecked: true,
  }),
  defineNetworkFilter({
    kind: extAuthz,
    message: 'envoy.extensions.filters.network.ext_authz.v3.ExtAuthz',
    compile: (_message, path, scope) => denyEverything(extAuthz, path, scope),
    fields: {},
    unchecked: true,
  }),
];
