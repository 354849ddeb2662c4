/** Compiles resources given as plain objects, and reads the error of one that is refused. */
import type { Test } from 'tap';
import { encodeMessage, type MessageName, type MessageTypes, type Partially } from '../../../../../protos/messages.ts';
import { ConfigError } from '../../../../../proxy/config/compile/config-error.ts';
import { compileCluster } from '../../../../../proxy/config/compile/cluster.ts';
import { compileLoadAssignment } from '../../../../../proxy/config/compile/endpoints.ts';
import { compileListener } from '../../../../../proxy/config/compile/listener.ts';
import { compileRouteConfig } from '../../../../../proxy/config/compile/route.ts';
import { createCompileContext } from '../../../../../proxy/extensions/compile-manifest.ts';

export const context = createCompileContext();

type Message<N extends MessageName> = Partially<MessageTypes[N]>;

export type ListenerMessage = Message<'envoy.config.listener.v3.Listener'>;
export type ClusterMessage = Message<'envoy.config.cluster.v3.Cluster'>;
export type RouteMessage = Message<'envoy.config.route.v3.RouteConfiguration'>;
export type AssignmentMessage = Message<'envoy.config.endpoint.v3.ClusterLoadAssignment'>;

/** An Any that holds the message. */
export function any<N extends MessageName>(name: N, message: Message<N>): { type_url: string; value: Uint8Array } {
  return { type_url: `type.googleapis.com/${name}`, value: encodeMessage(name, message) };
}

export const compile = {
  listener: (message: ListenerMessage) => compileListener(encodeMessage('envoy.config.listener.v3.Listener', message), context),
  cluster: (message: ClusterMessage) => compileCluster(encodeMessage('envoy.config.cluster.v3.Cluster', message), context),
  route: (message: RouteMessage) =>
    compileRouteConfig(encodeMessage('envoy.config.route.v3.RouteConfiguration', message), context),
  endpoints: (message: AssignmentMessage) =>
    compileLoadAssignment(encodeMessage('envoy.config.endpoint.v3.ClusterLoadAssignment', message), context),
};

export const tcpProxy = {
  name: 'envoy.filters.network.tcp_proxy',
  typed_config: any('envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy', { stat_prefix: 'tcp', cluster: 'a' }),
};

export const router = {
  name: 'envoy.filters.http.router',
  typed_config: any('envoy.extensions.filters.http.router.v3.Router', {}),
};

/** A listener with one TCP proxy. */
export function listenerOf(changes: ListenerMessage = {}): ListenerMessage {
  return {
    name: 'l',
    address: { socket_address: { address: '0.0.0.0', port_value: 80 } },
    filter_chains: [{ filters: [tcpProxy] }],
    ...changes,
  };
}

type ManagerMessage = Message<'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'>;

/** A listener with one connection manager. */
export function httpListenerOf(changes: ManagerMessage = {}): ListenerMessage {
  const manager: ManagerMessage = { stat_prefix: 'h', route_config: {}, http_filters: [router], ...changes };
  const typed_config = any('envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', manager);
  return listenerOf({ filter_chains: [{ filters: [{ name: 'http', typed_config }] }] });
}

/** A route configuration with one route that forwards to a cluster. */
export function routeOf(action: NonNullable<NonNullable<RouteMessage['virtual_hosts']>[0]['routes']>[0]['route']): RouteMessage {
  return {
    name: 'r',
    virtual_hosts: [{ name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'c', ...action } }] }],
  };
}

/** Asserts that `run` refuses the configuration, at this path and with this reason. */
export function refuses(t: Test, run: () => unknown, path: string, reason: string | RegExp, what = ''): void {
  try {
    run();
    t.fail(`${what} ${path} is refused`);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    t.equal(error.path, path, `${what} ${error.message}`);
    t.match(error.reason, reason);
  }
}
