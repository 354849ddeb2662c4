/** Routing that the rules rely on: the IPv6 address ::6 on lo, and in TPROXY mode the table that leads marked packets to lo. */
import { isTproxy } from './chains.ts';
import type { Config } from './config.ts';
import type { Executor } from './executor.ts';
import { log } from './log.ts';

/** Throws an Error where `ip` refuses; what exists already is fine. */
export function configureRoutes(config: Config, executor: Executor): void {
  if (config.dryRun) {
    log.info('skipping configuring routes due to dry run mode');
    return;
  }
  const ip = (what: string, args: readonly string[]): void => {
    const result = executor.runTool('ip', args);
    if (!result.ok && !/file exists/i.test(result.stderr)) throw new Error(`failed to ${what}: ${result.stderr}`);
  };
  if (config.enableIpv6) {
    // IPv4 may bind any address of 127.0.0.0/8; on IPv6 loopback is a single address.
    ip('add IPv6 inbound address', ['-6', 'addr', 'add', '::6/128', 'dev', 'lo']);
    log.info('Added ::6 address on the loopback iface');
  }
  if (config.inboundPortsInclude === '' || !isTproxy(config)) return;
  const table = parseInteger('InboundTProxyRouteTable', config.inboundTproxyRouteTable);
  const mark = parseInteger('InboundTProxyMark', config.inboundTproxyMark);
  for (const family of config.enableIpv6 ? ['-4', '-6'] : ['-4']) {
    ip('configure rule', [family, 'rule', 'add', 'fwmark', mark, 'lookup', table]);
    ip('add route', [family, 'route', 'add', 'local', 'default', 'dev', 'lo', 'table', table]);
  }
}

function parseInteger(name: string, text: string): string {
  if (!/^[+-]?[0-9]+$/.test(text)) throw new Error(`failed to parse ${name}: ${JSON.stringify(text)} is not an integer`);
  return String(Number(text));
}
