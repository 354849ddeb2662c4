/** `envoy.filters.network.mongo_proxy`: counts what a mongo connection does. It is left out; the connection passes as TCP. */
import { ConfigError } from '../../../../config/compile/config-error.ts';
import { defineNetworkFilter, leftOut } from '../../../../config/compile/extension.ts';

export const mongoProxyFilter = defineNetworkFilter({
  kind: 'envoy.filters.network.mongo_proxy',
  message: 'envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy',
  compile(message, path, scope) {
    // A delay is a fault to inject, not an observation.
    if (message.delay !== null) throw new ConfigError(`${path}.delay`, 'is not implemented');
    scope.warn(path, 'envoy.filters.network.mongo_proxy is not implemented: accepted without effect');
    return leftOut;
  },
  fields: {},
  unchecked: true,
});
