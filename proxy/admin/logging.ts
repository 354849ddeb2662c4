/** `/logging`: shows and changes log levels. */
import { currentLogLevels, isLogComponent, isLogLevel, logLevels } from '../../common/log.ts';
import type { AdminContext } from './admin-context.ts';
import type { AdminRequest, AdminResponse } from './endpoint.ts';
import { textResponse } from './endpoint.ts';

const usage = `usage: /logging?<name>=<level> (change single level)
usage: /logging?paths=name1:level1,name2:level2,... (change multiple levels)
usage: /logging?level=<level> (change all levels)
usage: /logging?group=<group_name>:<level> (change group of loggers)
levels: ${logLevels.join(' ')} 
`;

function renderLevels(): string {
  const lines = [...currentLogLevels()].map(([component, level]) => `  ${component}: ${level}\n`);
  return `active loggers:\n${lines.join('')}\n`;
}

export function handleLogging({ query }: AdminRequest, { server }: AdminContext): AdminResponse {
  const error = changeLevels(query, server);
  if (error !== null) return textResponse(`error: ${error}\n\n${usage}${renderLevels()}`, 400);
  return textResponse(`${renderLevels()}\n`);
}

/** Envoy's spelling of a level; `warn` is `warning`. */
function normalizeLevel(level: string): string {
  return level === 'warn' ? 'warning' : level;
}

/** Null: done. */
function changeLevels(query: URLSearchParams, server: AdminContext['server']): string | null {
  const entries = [...query];
  if (entries.length === 0) return null;
  if (entries.length > 1) return 'invalid number of parameters';
  const [name, value] = entries[0];
  if (name === 'level' || (name === 'paths' && value === '')) {
    if (value === '') return 'empty parameter';
    if (!isLogLevel(normalizeLevel(value))) return 'unknown logger level';
    server.setLogLevels(normalizeLevel(value), {});
    return null;
  }
  const pairs = name === 'paths' || name === 'group' ? value.split(',') : [`${name}:${value}`];
  const components: { [component: string]: string } = {};
  for (const pair of pairs) {
    const colon = pair.lastIndexOf(':');
    if (colon === -1) return 'empty logger name or empty logger level';
    const [component, level] = [pair.slice(0, colon), normalizeLevel(pair.slice(colon + 1))];
    if (component === '' || level === '') return 'empty logger name or empty logger level';
    if (!isLogLevel(level)) return 'unknown logger level';
    if (!isLogComponent(component)) return 'unknown logger name';
    components[component] = level;
  }
  server.setLogLevels(null, components);
  return null;
}
