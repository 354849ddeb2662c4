/** Routing that the rules rely on: the IPv6 address ::6 on lo, and in TPROXY mode the table that leads marked packets to lo. */
import { isTproxy } from './chains.ts';
import type { Config } from './config.ts';
import type { Executor } from './executor.ts';
import { explainCause } from './failure.ts';
import { sourceOf } from './flags.ts';
import { log } from './log.ts';

/** Arguments of `ip` behind `add` or `del`: family and kind of object before it, the object after it. */
type Route = { readonly what: string; readonly before: readonly string[]; readonly after: readonly string[] };

/** What `config` needs, in the order of adding. Throws an Error for a mark or a table that is no number. */
export function planRoutes(config: Config): readonly Route[] {
  const routes: Route[] = [];
  if (config.enableIpv6) {
    // IPv4 may bind any address of 127.0.0.0/8; on IPv6 loopback is a single address.
    routes.push({ what: 'IPv6 inbound address', before: ['-6', 'addr'], after: ['::6/128', 'dev', 'lo'] });
  }
  if (config.inboundPortsInclude === '' || !isTproxy(config)) return routes;
  const table = readInteger(config, 'inboundTproxyRouteTable');
  const mark = readInteger(config, 'inboundTproxyMark');
  for (const family of config.enableIpv6 ? ['-4', '-6'] : ['-4']) {
    routes.push(
      { what: 'routing rule', before: [family, 'rule'], after: ['fwmark', mark, 'lookup', table] },
      { what: 'route', before: [family, 'route'], after: ['local', 'default', 'dev', 'lo', 'table', table] },
    );
  }
  return routes;
}

function readInteger(config: Config, key: 'inboundTproxyRouteTable' | 'inboundTproxyMark'): string {
  const text = config[key];
  if (!/^[+-]?[0-9]+$/.test(text)) throw new Error(`${JSON.stringify(text)} is not an integer (from ${sourceOf(key)})`);
  return String(Number(text));
}

/** What is there already. For a routing rule one has to ask, because `ip` adds the same rule twice. */
function exists({ before, after }: Route, executor: Executor): boolean {
  if (!before.includes('rule')) return false;
  const result = executor.runTool('ip', [...before, 'show', ...after]);
  return result.ok && result.stdout.trim() !== '';
}

/**
 * Adds what is missing and returns what it added. Throws an Error where `ip` refuses; nothing of it stays then.
 *
 * Differs from Istio: a routing rule that exists stays the only one. The original adds it again on every run.
 */
export function addRoutes(routes: readonly Route[], executor: Executor): readonly Route[] {
  const added: Route[] = [];
  for (const route of routes) {
    const { what, before, after } = route;
    if (exists(route, executor)) continue;
    const result = executor.runTool('ip', [...before, 'add', ...after]);
    if (result.ok) added.push(route);
    else if (!/file exists|already assigned/i.test(result.stderr)) {
      removeRoutes(added, executor);
      throw new Error(`failed to configure routes: failed to add ${what}: ${explainCause(result.stderr)}`);
    }
  }
  if (routes[0]?.before.includes('addr')) log.info('Added ::6 address on the loopback iface');
  return added;
}

/** Removes the routes, newest first; what is not there is fine. */
export function removeRoutes(routes: readonly Route[], executor: Executor): void {
  for (const { what, before, after } of routes.toReversed()) {
    const result = executor.runTool('ip', [...before, 'del', ...after]);
    if (!result.ok) log.debug(`no ${what} removed: ${explainCause(result.stderr)}`);
  }
}
